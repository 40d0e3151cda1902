"""Runs in a node: runs a command, kills what it is told at an instant, and watches.

    kill_anything.py DELAY_MS VICTIM[,VICTIM...] COMMAND...

VICTIM    name of processes as the kernel keeps it, 15 characters
Prints one JSON object: whom the kill has met, what the command said, and how long after the kill
cgroups were frozen.
"""
import contextlib
import glob
import json
import os
import signal
import subprocess
import sys
import time

WATCH_S = 60
# Not a restore: it waits for those who ask for its pod again.
OURS = {"cryopod-checkpo", "cryopod-guard", "criu"}


def processes():
    """(name, PID) of all but zombies."""
    for path in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, _, rest = open(path).read().partition(" (")
            name, _, rest = rest.rpartition(") ")
            if rest[0] not in "ZX":
                yield name, int(pid)


def is_frozen():
    for path in glob.glob("/sys/fs/cgroup/freezer/k8s.io/*/freezer.state") + \
            glob.glob("/sys/fs/cgroup/k8s.io/*/cgroup.events"):
        with contextlib.suppress(OSError):
            text = open(path).read()
            if "FROZEN" in text or "FREEZING" in text or "frozen 1" in text:
                return True
    return False


def kill(victims):
    killed = []
    for name, pid in processes():
        if name in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed.append(name)
    return killed


def watch():
    """Until nobody is left who could freeze or thaw: when a cgroup was last seen frozen."""
    began = time.monotonic()
    last_frozen = None
    while True:
        now = time.monotonic() - began
        if is_frozen():
            last_frozen = now
        names = {name for name, _ in processes()} & OURS
        if now > WATCH_S:
            sys.exit(f"{WATCH_S} s after the kill {names} still ran, frozen: {is_frozen()}")
        if not names and not is_frozen():
            return last_frozen
        time.sleep(0.02)


def main():
    delay_ms, victims, *command = sys.argv[1:]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(float(delay_ms) / 1000)
    ended = client.poll() is not None
    killed = [] if ended else kill(victims.split(","))
    # Without an agent nobody answers it.
    with contextlib.suppress(subprocess.TimeoutExpired):
        client.wait(90)
    client.kill()
    output, _ = client.communicate()
    print(json.dumps({"killed": sorted(killed), "output": output[-2000:],
                      "exit_code": client.returncode, "frozen_s": watch()}))


main()
