"""Runs in a node: runs a command, kills what it is told at an instant, and watches.

    kill_anything.py DELAY_MS VICTIM[,VICTIM...] COMMAND...

VICTIM    name of processes as the kernel keeps it, 15 characters
Prints one JSON object: whom the kill has met, what the command said, how long it took where it ended
before, and how long after the kill cgroups were frozen.
"""
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

from node_watch import frozen_files, is_frozen, processes

WATCH_S = 60
# Not a restore: it waits for those who ask for its pod again.
OURS = {"cryopod-checkpo", "cryopod-guard", "criu"}
AGENT = "cryopod-agent"


def kill(victims):
    killed = []
    for name, pid in processes():
        if name in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed.append(name)
    return killed


def watch():
    """Until nobody is left who could freeze or thaw: when a cgroup was last seen frozen; None as well
    when all who could thaw were killed, and the next agent has to."""
    began = time.monotonic()
    last_frozen = None
    while True:
        now = time.monotonic() - began
        if is_frozen(frozen_files()):
            last_frozen = now
        living = {name for name, _ in processes()}
        names = living & OURS
        if not names and AGENT not in living:
            return None
        if now > WATCH_S:
            sys.exit(f"{WATCH_S} s after the kill {names} still ran, frozen: {is_frozen(frozen_files())}")
        if not names and not is_frozen(frozen_files()):
            return last_frozen
        time.sleep(0.02)


def main():
    delay_ms, victims, *command = sys.argv[1:]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    began, took_ms = time.monotonic(), None
    try:
        client.wait(float(delay_ms) / 1000)
        took_ms, killed = (time.monotonic() - began) * 1000, []
    except subprocess.TimeoutExpired:
        killed = kill(victims.split(","))
    # Without an agent nobody answers it, and what was under way goes on without it.
    with contextlib.suppress(subprocess.TimeoutExpired):
        client.wait(5 if AGENT in killed else 90)
    client.kill()
    output, _ = client.communicate()
    print(json.dumps({"killed": sorted(killed), "output": output[-2000:],
                      "exit_code": client.returncode, "took_ms": took_ms, "frozen_s": watch()}))


main()
