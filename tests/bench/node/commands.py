"""Commands in the node, with a deadline and an error that says what the command said."""
import json
import shlex
import subprocess
import time

CTL = "/opt/cryopod/bin/cryopodctl"
CRI_TOOL = "/opt/cryopod/libexec/cryopod/cri-tool"
LIMITS = "/opt/cryopod/libexec/cryopod/bench-limits"
COMMAND_TIMEOUT_S = 300
ERROR_CHARACTERS = 400


class CommandFailed(Exception):
    """A command did not do what it should."""


def run(*command, timeout_s=COMMAND_TIMEOUT_S, env=None, cwd=None):
    """The standard output of a command that must succeed."""
    command = [str(part) for part in command]
    try:
        result = subprocess.run(command, timeout=timeout_s, capture_output=True, text=True,
                                errors="replace", stdin=subprocess.DEVNULL, env=env, cwd=cwd)
    except FileNotFoundError as error:
        raise CommandFailed(f"{command[0]} is not there") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{shlex.join(command)}: not done after {timeout_s} s") from error
    if result.returncode != 0:
        said = (result.stderr.strip() or result.stdout.strip())[-ERROR_CHARACTERS:]
        raise CommandFailed(f"{shlex.join(command)}: exit code {result.returncode}: {said}")
    return result.stdout


def run_json(*command, **options):
    return json.loads(run(*command, **options))


def wait_until(condition, what, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise CommandFailed(f"not within {timeout_s} s: {what}")
        time.sleep(0.02)
