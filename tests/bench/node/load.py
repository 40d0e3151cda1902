"""A running memory_load, asked over its socket as the node sees it: no exec disturbs what is measured."""
import contextlib
import json
import os
import signal
import socket

from commands import CommandFailed, wait_until

PROGRAM = "memory_load"
ANSWER_TIMEOUT_S = 60
READY_TIMEOUT_S = 120
ANSWER_BYTES_MAX = 65536


def arguments(case, containers=1):
    """The command line's end for one of `containers` equal shares of a case."""
    return [str(max(1, case["mib"] // containers)), str(case["processes"]), str(case["threads"]),
            case["content"], case["pages"], str(case["dirty_mib_per_s"] // containers)]


class Load:
    """The load whose first process is `pid` in the node's numbering."""

    def __init__(self, pid, socket_path=f"/tmp/{PROGRAM}.sock"):
        self.pid = pid
        self._path = f"/proc/{pid}/root{socket_path}"

    def ask(self, request):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(ANSWER_TIMEOUT_S)
            try:
                client.connect(self._path)
                client.sendall(request.encode() + b"\n")
                answer = client.makefile().readline(ANSWER_BYTES_MAX).strip()
            except OSError as error:
                raise CommandFailed(f"the load does not answer: {error}") from error
        if not answer:
            raise CommandFailed("the load closes the connection without an answer")
        if answer.startswith("bad"):
            raise CommandFailed(f"the load says: {answer}")
        return answer

    def wait_ready(self):
        def is_ready():
            if not os.path.exists(f"/proc/{self.pid}"):
                raise CommandFailed("the load has ended")
            try:
                return self.ask("report")
            except CommandFailed:
                return None
        wait_until(is_ready, "the load is ready", READY_TIMEOUT_S)

    def report(self):
        return json.loads(self.ask("report"))

    def reset(self):
        self.ask("reset")

    def touch(self):
        """When every page had been read, in microseconds of the real time."""
        return json.loads(self.ask("touch"))["touched_realtime_us"]

    def verify(self):
        self.ask("verify")

    def kill(self):
        try:
            os.killpg(os.getpgid(self.pid), signal.SIGKILL)
        except ProcessLookupError:
            return

        def is_gone():
            # Until a restore it is this process's own child.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
            return not os.path.exists(f"/proc/{self.pid}")

        wait_until(is_gone, "the load ends")
