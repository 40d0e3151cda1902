"""What a run has to show, and whether it did."""
import dataclasses

# A process that held the pod's memory would grow by 960 MiB between the sizes; this is for buffers.
PEAK_GROWTH_MAX_MIB = 16
PEAK_GROWTH = "peak_growth_mib"


@dataclasses.dataclass(frozen=True)
class Target:
    """A row's figure that may be at most `limit`; without a limit it only has to be there."""
    metric: str
    figure: str  # the key of the row
    limit: "float | None"
    words: str


TARGETS = (
    Target("freeze_vs_containerd", "ratio", 0.15, "freeze, 1 GiB, of containerd's"),
    Target("freeze_vs_raw_criu_tmpfs", "ratio", 1.2, "freeze, 1 GiB, of raw CRIU's to tmpfs"),
    Target("freeze_2x512_vs_1x1024", "ratio", 1.1,
           "freeze, two containers of 512 MiB, of one of 1 GiB"),
    Target("small_freeze_over_raw_criu_ms", "difference", 10, "freeze, 1 MiB, over raw CRIU's on a container, ms"),
    Target("small_wall_over_raw_criu_ms", "difference", 150,
           "time to the archive, 1 MiB, over raw CRIU's dump of a container, ms"),
    Target("archive_total_vs_containerd", "ratio", 0.6, "time to the archive, 1 GiB, of containerd's"),
    Target("restore_total_vs_containerd", "ratio", 0.7,
           "restore until all memory is there, 1 GiB, of containerd's"),
    Target("exec_over_bare_runtime_ms", "difference", 3, "exec over the bare runtime's, ms"),
    Target("agent_resident_mib", "ours", 24, "the agent's resident memory, MiB"),
    Target(PEAK_GROWTH, "difference", PEAK_GROWTH_MAX_MIB,
           "growth of any process of ours from 64 MiB to 1 GiB, MiB"),
)
# A short run on any machine shows that there is a figure for each, and not how good it is.
TARGETS_QUICK = tuple(
    dataclasses.replace(target, limit=None, words=target.words.replace("1 GiB", "64 MiB"))
    for target in TARGETS if target.metric not in ("freeze_2x512_vs_1x1024", PEAK_GROWTH))


@dataclasses.dataclass(frozen=True)
class Verdict:
    target: Target
    figure: "float | None"
    iqr: "float | None"
    is_met: "bool | None"  # None: not judged, for the reason
    reason: str = ""

    @property
    def word(self):
        met = "met" if self.target.limit is not None else "reported"
        return {True: met, False: "missed", None: "not judged"}[self.is_met]


def growth_row(rows):
    """The program of ours that grew most. A restoring CRIU becomes the pod, and has its memory."""
    grown = [row for row in rows if row["metric"].startswith("peak_mib_")
             and row["metric"] != "peak_mib_criu" and row.get("difference") is not None]
    if not grown:
        return None
    most = max(grown, key=lambda row: row["difference"])
    return {**most, "remark": most["metric"].removeprefix("peak_mib_")}


def judge(rows, targets):
    by_metric = {row["metric"]: row for row in rows}
    by_metric[PEAK_GROWTH] = growth_row(rows)
    return [judge_one(target, by_metric.get(target.metric)) for target in targets]


def judge_one(target, row):
    if row is None:
        return Verdict(target, None, None, None, "not measured")
    figure = row.get(target.figure)
    if figure is None:
        return Verdict(target, None, None, None, row.get("reason", "not measured"))
    is_met = target.limit is None or figure <= target.limit
    return Verdict(target, figure, row.get("iqr"), is_met, row.get("remark", ""))
