"""Runs in a node: starts a checkpoint, kills what it is told at a stage or instant, and watches.

    kill_at_stage.py POD ARCHIVE VICTIMS STAGE DELAY_MS [OPTION...]

VICTIMS   agent, checkpoint, both, all (both and the guard)
STAGE     a stage of the operation's events file, a file of its directory, or "any": DELAY_MS after
          the start
OPTION    of cryopodctl checkpoint
Prints one JSON object: what was killed, and how long cgroups stayed frozen after the kill and after
the end of the last CRIU.
"""
import contextlib
import glob
import json
import os
import signal
import subprocess
import sys
import time

JOBS = "/run/cryopod/jobs"
WATCH_S = 30


def processes(name):
    found = []
    for path in glob.glob("/proc/[0-9]*"):
        with contextlib.suppress(OSError):
            if open(f"{path}/comm").read().strip() == name:
                found.append(int(os.path.basename(path)))
    return found


def criu_runs():
    """A CRIU that works or is parked, except one that is a zombie."""
    for path in glob.glob("/proc/[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(f"{path}/exe").endswith("/criu"):
                return True
    return False


def frozen_files():
    return glob.glob("/sys/fs/cgroup/freezer/k8s.io/*/freezer.state") + \
        glob.glob("/sys/fs/cgroup/k8s.io/*/cgroup.events")


def is_frozen(files):
    for path in files:
        with contextlib.suppress(OSError):
            text = open(path).read()
            if "FROZEN" in text or "FREEZING" in text or "frozen 1" in text:
                return True
    return False


def stages(job):
    try:
        lines = open(f"{job}/events").read().splitlines()
    except OSError:
        return []
    return [json.loads(line)["stage"] for line in lines]


def wait_for_instant(stage, delay_ms, client):
    deadline = time.monotonic() + WATCH_S
    job = None
    while time.monotonic() < deadline and client.poll() is None:
        jobs = glob.glob(f"{JOBS}/c-*")
        job = jobs[0] if jobs else None
        if job and (stage == "any" or os.path.exists(f"{job}/{stage}") or stage in stages(job)):
            break
        time.sleep(0.0005)
    time.sleep(delay_ms / 1000)
    return job


def victims_of(which, job):
    pids = []
    if which == "all":
        pids += processes("cryopod-guard")
    if which in ("agent", "both", "all"):
        pids += processes("cryopod-agent")
    if which in ("checkpoint", "both", "all") and job:
        with contextlib.suppress(OSError):
            pids.append(json.load(open(f"{job}/process.json"))["pid"])
    return pids


def watch(files):
    """Seconds until nothing is frozen and no CRIU runs, and the latest instants of both."""
    began = time.monotonic()
    last_frozen = last_criu = None
    quiet_since = began
    while time.monotonic() - began < WATCH_S and time.monotonic() - quiet_since < 3:
        now = time.monotonic()
        frozen, criu = is_frozen(files), criu_runs()
        if frozen:
            last_frozen = now - began
        if criu:
            last_criu = now - began
        if frozen or criu:
            quiet_since = now
        time.sleep(0.005)
    return last_frozen, last_criu


def main():
    pod, archive, which, stage, delay_ms, *options = sys.argv[1:]
    files = frozen_files()
    client = subprocess.Popen(
        ["/opt/cryopod/bin/cryopodctl", "checkpoint", pod, "--archive", archive, *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    job = wait_for_instant(stage, float(delay_ms), client)
    seen = stages(job) if job else []
    killed = []
    for pid in victims_of(which, job):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
    last_frozen, last_criu = watch(files)
    output, _ = client.communicate(timeout=60)
    print(json.dumps({"killed": killed, "stage": seen[-1] if seen else "", "output": output,
                      "exit_code": client.returncode, "frozen_s": last_frozen,
                      "criu_s": last_criu}))


main()
