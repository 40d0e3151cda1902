"""What is taken of one checkpoint or restore, in the same way for every peer."""
import contextlib
import os
import time

# Long enough for the heartbeats to have beaten again.
SETTLE_S = 0.05


def node_cpu_s():
    """CPU seconds of everything in this node, whoever spent them."""
    with contextlib.suppress(FileNotFoundError):
        with open("/sys/fs/cgroup/cpu.stat", encoding="ascii") as file:
            return int(file.readline().split()[1]) / 1e6
    with open("/sys/fs/cgroup/cpuacct/cpuacct.usage", encoding="ascii") as file:
        return int(file.read()) / 1e9


def bytes_of(path):
    """What a file, or all files of a folder, take on the disk."""
    if os.path.isfile(path):
        return os.stat(path).st_size
    return sum(os.lstat(os.path.join(folder, name)).st_size
               for folder, _, names in os.walk(path) for name in names)


def checkpoint(loads, act):
    """Runs act() and takes its time, CPU and the longest pause that any of the loads has seen."""
    for load in loads:
        load.reset()
    cpu_s = node_cpu_s()
    began = time.monotonic()
    answer = act()
    total_s = time.monotonic() - began
    cpu_s = node_cpu_s() - cpu_s
    time.sleep(SETTLE_S)
    freeze_us = max(load.report()["largest_gap_us"] for load in loads)
    return {"freeze_ms": freeze_us / 1e3, "total_s": total_s, "cpu_s": cpu_s}, answer


def restore(act):
    """Runs act(), which returns the restored loads, and takes the time until the first heartbeat of
    the slowest and until all memory has been read."""
    cpu_s = node_cpu_s()
    began_us = time.time_ns() // 1000
    loads = act()
    touched_us = max(load.touch() for load in loads)
    beat_us = max(load.report()["largest_gap_end_realtime_us"] for load in loads)
    cpu_s = node_cpu_s() - cpu_s
    for load in loads:
        load.verify()
    return {"first_heartbeat_s": (beat_us - began_us) / 1e6,
            "total_s": (touched_us - began_us) / 1e6, "cpu_s": cpu_s}
