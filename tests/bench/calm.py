"""Whether the machine does anything else: ratios of a busy one are worth nothing.

From /proc/stat, not from the load average, which still tells of a build a minute after its end.
"""
import pathlib
import time

BUSY_SHARE_MAX = 0.15
# While it measures, the kernel's own threads (writing back, zeroing) count as others too.
OTHERS_SHARE_MAX = 0.25
SAMPLE_S = 3
WAIT_S = 60
TICKS_PER_S = 100
# Columns of the line "cpu" in /proc/stat; guests are counted in user and nice already.
IDLE, IOWAIT, STEAL, COLUMNS = 3, 4, 7, 8


class Ticks:
    """What the processors have done since the machine was started, in hundredths of a second."""

    def __init__(self, stat_text):
        values = [int(value) for value in stat_text.split("\n", 1)[0].split()[1:1 + COLUMNS]]
        self.total = sum(values)
        # Others that took the processor from the whole machine are work, too.
        self.busy = self.total - values[IDLE] - values[IOWAIT]
        self.steal = values[STEAL]

    @classmethod
    def now(cls):
        return cls(pathlib.Path("/proc/stat").read_text())

    def busy_share_since(self, before):
        return (self.busy - before.busy) / max(1, self.total - before.total)

    def steal_share_since(self, before):
        return (self.steal - before.steal) / max(1, self.total - before.total)

    def others_share_since(self, before, own_s):
        """The part of the machine that was neither idle nor spent on `own_s` seconds of ours."""
        others = self.busy - before.busy - own_s * TICKS_PER_S
        return max(0, others) / max(1, self.total - before.total)


def wait(say, wait_s=WAIT_S, sample_s=SAMPLE_S):
    """Waits until the machine is calm; the busy share of the last sample, and why it is too much."""
    deadline = time.monotonic() + wait_s
    told = False
    while True:
        before = Ticks.now()
        time.sleep(sample_s)
        busy = Ticks.now().busy_share_since(before)
        if busy <= BUSY_SHARE_MAX:
            return busy, None
        if time.monotonic() >= deadline:
            return busy, (f"the machine is busy: {busy:.0%} of its processors before anything was "
                          f"measured, at most {BUSY_SHARE_MAX:.0%} are allowed")
        if not told:
            say(f"the machine is {busy:.0%} busy; waiting up to {wait_s} s for it to calm down")
            told = True


def reason_of_others(share):
    """Why a run beside which others took this share is not to be believed, or None."""
    if share <= OTHERS_SHARE_MAX:
        return None
    return (f"the machine is busy: others took {share:.0%} of its processors while it was measured, "
            f"at most {OTHERS_SHARE_MAX:.0%} are allowed")
