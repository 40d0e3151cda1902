"""Runs in a node: kills the agent in the middle of a dump and makes the job another version's.

    job_of_another_version.py POD ARCHIVE OPERATION VERSION

Starts a checkpoint, stops its CRIU (SIGSTOP) as soon as it dumps, kills the agent, and rewrites what
stands in the job's directory as VERSION would have written it:

    newer     everything is there, and members that nobody here knows
    older     what has a default is missing
    foreign   the files of a program that knew no formats, as stored beside this script
    same      nothing

Prints {"criu": [PIDs that are stopped], "process": PID of cryopod-checkpoint}.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

JOBS = pathlib.Path("/run/cryopod/jobs")
STORED = pathlib.Path(__file__).resolve().parent / "stored_job"
WAIT_S = 60
# What a file means nothing without; all else has a default.
NEEDED = {"format", "kind", "operation_id", "archive", "sandbox_id", "pod_name", "pod_namespace",
          "containers", "runtime_root", "store_root", "state_dir", "name", "id", "pid",
          "start_ticks", "cgroups", "criu", "inits"}
# Without a default that fits this pod: where it is and what it is called.
KEPT = {"pod_uid", "runtime_handler", "sandbox_config_json", "config_json", "status_json",
        "created_at_ns", "image", "image_ref", "criu_program", "criu_tools_dir"}


def wait_until_it_dumps(job):
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            if '"dump"' in (job / "events").read_text():
                return
        except OSError:
            pass
        time.sleep(0.001)
    sys.exit("no dump began")


def as_newer(value):
    if isinstance(value, dict):
        return {**{key: as_newer(member) for key, member in value.items()},
                "a_new_member": {"of": ["a", "new", "kind"]}}
    return [as_newer(member) for member in value] if isinstance(value, list) else value


def as_older(value):
    if isinstance(value, dict):
        return {key: as_older(member) for key, member in value.items()
                if key in NEEDED or key in KEPT}
    return [as_older(member) for member in value] if isinstance(value, list) else value


def as_stored(name, value):
    """The stored file, with this job's processes and places."""
    stored = json.loads((STORED / name).read_text())
    return {key: value.get(key, member) for key, member in stored.items()}


def rewrite(job, version):
    for name in ("request.json", "process.json", "journal.json"):
        path = job / name
        value = json.loads(path.read_text())
        if version == "newer":
            value = {**as_newer(value), "format": value["format"] + 1,
                     "readable_from": value["format"]}
        elif version == "older":
            value = as_older(value)
        elif version == "foreign":
            value = as_stored(name, value)
        partial = path.with_suffix(".new")
        partial.write_text(json.dumps(value))
        partial.rename(path)


def main():
    pod, archive, operation, version = sys.argv[1:]
    job = JOBS / operation
    client = subprocess.Popen(
        ["/opt/cryopod/bin/cryopodctl", "checkpoint", pod, "--archive", archive, "--operation",
         operation], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until_it_dumps(job)
    criu = [entry["pid"] for entry in json.loads((job / "journal.json").read_text())["criu"]]
    for pid in criu:
        os.kill(pid, signal.SIGSTOP)
    agent = subprocess.run(["pgrep", "-x", "cryopod-agent"], capture_output=True, text=True,
                           check=True).stdout.split()
    for pid in agent:
        os.kill(int(pid), signal.SIGKILL)
    client.wait(timeout=WAIT_S)
    process = json.loads((job / "process.json").read_text())["pid"]
    rewrite(job, version)
    print(json.dumps({"criu": criu, "process": process}))


main()
