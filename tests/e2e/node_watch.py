"""For what runs in a node beside what it watches: its processes, and what of it stands still."""
import contextlib
import glob


def processes():
    """(name, PID) of all but zombies; the kernel keeps 15 characters of a name."""
    for path in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, _, rest = open(path).read().partition(" (")
            name, _, rest = rest.rpartition(") ")
            if rest[0] not in "ZX":
                yield name, int(pid)


def frozen_files():
    """Where the kernel says of each container whether it is frozen."""
    return glob.glob("/sys/fs/cgroup/freezer/k8s.io/*/freezer.state") + \
        glob.glob("/sys/fs/cgroup/k8s.io/*/cgroup.events")


def is_frozen(files):
    """Is any of them, or is it about to be?"""
    for path in files:
        with contextlib.suppress(OSError):
            text = open(path).read()
            if "FROZEN" in text or "FREEZING" in text or "frozen 1" in text:
                return True
    return False
