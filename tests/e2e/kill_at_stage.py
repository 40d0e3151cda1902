"""Runs in a node: starts a checkpoint, kills what it is told at a stage or instant, and watches.

    kill_at_stage.py POD ARCHIVE VICTIMS STAGE DELAY_MS [OPTION...]

VICTIMS   agent, checkpoint, both, all (both and the guard)
STAGE     a stage of the operation's events file, a file of its directory, or "any": DELAY_MS after
          the start
OPTION    of cryopodctl checkpoint
Prints one JSON object: whom the kill has met alive, at which stage, and how long after it cgroups
were frozen and a CRIU ran.
"""
import contextlib
import ctypes
import glob
import json
import os
import select
import signal
import subprocess
import sys
import time

from node_watch import frozen_files, is_frozen, processes

JOBS = "/run/cryopod/jobs"
WATCH_S = 30
AGENT, GUARD, CRIU = "cryopod-agent", "cryopod-guard", "criu"
CHECKPOINT = "cryopod-checkpo"  # the kernel keeps 15 characters
# ptrace(2)
SEIZE, INTERRUPT, TO_SYSTEM_CALL, DETACH = 0x4206, 0x4207, 24, 17
MARK_SYSTEM_CALLS, SYSTEM_CALL = 1, signal.SIGTRAP | 0x80
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, None, data) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


class Job:
    """The operation that has just begun. What it has said can be read when its directory is gone."""

    def __init__(self, directory):
        self._directory = directory
        self._events = None
        self.pid = json.load(open(f"{directory}/process.json"))["pid"]

    def _said(self):
        if self._events is None:
            try:
                self._events = os.open(f"{self._directory}/events", os.O_RDONLY)
            except OSError:
                return b""
        return os.pread(self._events, 1 << 20, 0)

    def _has_reached(self, stage):
        return f'"{stage}"'.encode() in self._said() or os.path.exists(f"{self._directory}/{stage}")

    def lead_to(self, stage):
        """From system call to system call: some stages last less than a millisecond, and whoever watches
        them may have to wait for a processor. It stands then, unless it has ended before."""
        ptrace(SEIZE, self.pid, MARK_SYSTEM_CALLS)
        ptrace(INTERRUPT, self.pid)
        while True:
            _, status = os.waitpid(self.pid, 0)
            if not os.WIFSTOPPED(status) or self._has_reached(stage):
                return
            number = os.WSTOPSIG(status)
            is_signal = status >> 16 == 0 and number != SYSTEM_CALL
            ptrace(TO_SYSTEM_CALL, self.pid, number if is_signal else 0)

    def let_go(self):
        """Its parent hears of its end only after us."""
        with contextlib.suppress(OSError):
            ptrace(DETACH, self.pid)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def stage(self):
        if os.path.exists(f"{self._directory}/stopping.json"):
            return "stopping.json"
        lines = self._said().splitlines()
        return json.loads(lines[-1])["stage"] if lines else ""


def wait_for_job(client):
    deadline = time.monotonic() + WATCH_S
    while client.poll() is None and time.monotonic() < deadline:
        for process in glob.glob(f"{JOBS}/c-*/process.json"):
            return Job(os.path.dirname(process))
    return None


def pidfds(name):
    return [os.pidfd_open(pid) for found, pid in processes() if found == name]


def has_ended(pidfd, timeout_s=0):
    return bool(select.select([pidfd], [], [], timeout_s)[0])


def kill_living(victims):
    """Names of those who were alive."""
    killed = []
    for name, pidfd in victims:
        if not has_ended(pidfd):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                killed.append(name)
    return killed


def kill_at(stage, delay_ms, which, agents, client):
    """(names of whom it has killed, the stage in which it has)."""
    job = wait_for_job(client)
    if job is None:
        return [], ""
    checkpoint = os.pidfd_open(job.pid)
    if stage == "any":
        time.sleep(delay_ms / 1000)
    else:
        job.lead_to(stage)
    victims = [("guard", fd) for fd in pidfds(GUARD)] if which == "all" else []
    victims += [("agent", fd) for fd in agents]
    if which != "agent":
        victims.append(("checkpoint", checkpoint))
    killed = kill_living(victims)
    at = job.stage()
    job.let_go()
    for _, pidfd in victims:
        has_ended(pidfd, WATCH_S)
    # Without the agent it goes on; else the stage that it has died in.
    return killed, at if which == "agent" else job.stage()


def watch(files):
    """Until nobody is left who could freeze or thaw: when it was last frozen, and a CRIU last seen."""
    began = time.monotonic()
    last_frozen = last_criu = None
    while True:
        now = time.monotonic() - began
        names = {name for name, _ in processes()} & {CRIU, CHECKPOINT, GUARD}
        if is_frozen(files):
            last_frozen = now
        if CRIU in names:
            last_criu = now
        if not names:
            return last_frozen, last_criu
        if now > WATCH_S:
            sys.exit(f"{WATCH_S} s after the kill {', '.join(sorted(names))} still ran")
        time.sleep(0.005)


def main():
    pod, archive, which, stage, delay_ms, *options = sys.argv[1:]
    files = frozen_files()
    # Before it begins: looking for them takes longer than its first stages.
    agents = pidfds(AGENT) if which != "checkpoint" else []
    client = subprocess.Popen(
        ["/opt/cryopod/bin/cryopodctl", "checkpoint", pod, "--archive", archive, *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    killed, at = kill_at(stage, float(delay_ms), which, agents, client)
    last_frozen, last_criu = watch(files)
    output, _ = client.communicate(timeout=60)
    print(json.dumps({"killed": sorted(killed), "stage": at, "output": output,
                      "exit_code": client.returncode, "frozen_s": last_frozen,
                      "criu_s": last_criu}))


main()
