"""Which cases are measured with which peers: the standard grids, and cases given by hand."""
import dataclasses
import re

OURS = "cryopod"
PEERS = ("containerd", "raw-criu", "raw-criu-container", "runc", "podman")
CONTENTS = ("random", "heap", "zero")
PAGES = ("4k", "huge")
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
# What the metrics without a suffix are about.
STANDARD = "1024mib"
STANDARD_QUICK = "64mib-heap"
SMALL = "small"
SPLIT = "2x512"
ROUNDS, ROUNDS_QUICK, ROUNDS_MAX = 7, 3, 100
# A leg takes longest with the peers that write all memory uncompressed and read it again.
LEG_ALLOWANCE_S, LEG_ALLOWANCE_S_PER_MIB = 20, 0.03


class BadValue(Exception):
    """A value that cannot be; the text names it and says what is allowed."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A load, as the node's half and memory_load take it."""
    name: str
    mib: int = 64
    processes: int = 1
    threads: int = 0
    content: str = "random"
    pages: str = "4k"
    dirty_mib_per_s: int = 0
    containers: int = 1
    restore: bool = True
    peers: tuple = PEERS
    # A case of ours that is measured in the same rounds, for a ratio of the two.
    beside: "Case | None" = None
    # Peers that take part in fewer rounds than the run has.
    rounds_of: dict = dataclasses.field(default_factory=dict)

    def shape(self):
        """What the load is, apart from its size and from who measures it."""
        return (self.processes, self.threads, self.content, self.pages, self.dirty_mib_per_s,
                self.containers)

    def described(self):
        parts = [f"{self.mib} MiB", self.content]
        for number, words in ((self.containers, "containers"), (self.processes, "processes")):
            if number > 1:
                parts.append(f"{number} {words}")
        if self.threads:
            parts.append(f"{self.threads} threads")
        if self.pages != "4k":
            parts.append("huge pages")
        if self.dirty_mib_per_s:
            parts.append(f"{self.dirty_mib_per_s} MiB/s dirtied")
        return ", ".join(parts)

    def for_node(self):
        values = dataclasses.asdict(self)
        values["peers"] = [OURS, *self.peers]
        if self.beside is not None:
            values["beside"] = self.beside.for_node()
        return values

    @classmethod
    def of_node(cls, values):
        """The case that for_node() gave."""
        values = dict(values)
        values["peers"] = tuple(peer for peer in values["peers"] if peer != OURS)
        if values["beside"] is not None:
            values["beside"] = cls.of_node(values["beside"])
        return cls(**values)


def standard():
    few = ("containerd", "raw-criu")
    # Beside the sizes that everything is told by, these show where it is otherwise.
    thrice = {peer: 3 for peer in (OURS, *few)}
    return [
        Case(SMALL, 1),
        Case("64mib", 64),
        Case("256mib", 256),
        Case(STANDARD, 1024),
        Case(SPLIT, 1024, containers=2, restore=False, peers=("containerd",),
             beside=Case("1x1024", 1024, restore=False, peers=())),
        Case("1024mib-heap", 1024, content="heap", peers=few, rounds_of=thrice),
        Case("1024mib-zero", 1024, content="zero", restore=False, peers=few, rounds_of=thrice),
        Case("1024mib-huge", 1024, pages="huge", restore=False, peers=few, rounds_of=thrice),
        Case("8x32", 256, processes=8, restore=False, peers=few, rounds_of=thrice),
        Case("64mib-200threads", 64, threads=200, restore=False, peers=few, rounds_of=thrice),
        Case("256mib-dirty", 256, dirty_mib_per_s=100, restore=False, peers=few, rounds_of=thrice),
    ]


def quick():
    once = {"podman": 1, "runc": 1, "raw-criu-container": 1}
    return [Case(SMALL, 1, restore=False, rounds_of=once),
            Case(STANDARD_QUICK, 64, content="heap", rounds_of=once)]


def number(key, text, least, most):
    if not text.isdecimal() or not least <= int(text) <= most:
        raise BadValue(f"{key}={text}: a whole number from {least} to {most}")
    return int(text)


def one_of(key, text, allowed):
    if text not in allowed:
        raise BadValue(f"{key}={text}: one of {', '.join(allowed)}")
    return text


def name_of(key, text):
    if not NAME.fullmatch(text):
        raise BadValue(f"{key}={text}: a-z, 0-9 and -, at most 40 characters")
    return text


# By the word on the command line: the field, and what reads its value.
KEYS = {
    "name": ("name", name_of),
    "mib": ("mib", lambda key, text: number(key, text, 1, 65536)),
    "processes": ("processes", lambda key, text: number(key, text, 1, 256)),
    "threads": ("threads", lambda key, text: number(key, text, 0, 4096)),
    "content": ("content", lambda key, text: one_of(key, text, CONTENTS)),
    "pages": ("pages", lambda key, text: one_of(key, text, PAGES)),
    "dirty": ("dirty_mib_per_s", lambda key, text: number(key, text, 0, 10000)),
    "containers": ("containers", lambda key, text: number(key, text, 1, 16)),
    "restore": ("restore", lambda key, text: one_of(key, text, ("yes", "no")) == "yes"),
}


def parse_case(text):
    """A case as `mib=256,content=heap`; its name is made from the rest unless it is given."""
    values = {}
    for part in text.split(","):
        key, is_pair, value = part.partition("=")
        if not is_pair or key not in KEYS:
            raise BadValue(f"--case {text}: '{part}' is not KEY=VALUE with a KEY of "
                           f"{', '.join(KEYS)}")
        field, read = KEYS[key]
        if field in values:
            raise BadValue(f"--case {text}: {key} is there twice")
        try:
            values[field] = read(key, value)
        except BadValue as error:
            raise BadValue(f"--case {text}: {error}") from error
    case = Case(**{"name": "", **values})
    if case.mib < case.containers or case.mib < case.processes:
        raise BadValue(f"--case {text}: every container and every process has at least 1 MiB")
    return case if case.name else dataclasses.replace(case, name=default_name(case))


def default_name(case):
    parts = [f"{case.mib}mib"]
    if case.content != "random":
        parts.append(case.content)
    if case.pages != "4k":
        parts.append(case.pages)
    for count, word, usual in ((case.containers, "containers", 1), (case.processes, "processes", 1),
                               (case.threads, "threads", 0), (case.dirty_mib_per_s, "dirty", 0)):
        if count != usual:
            parts.append(f"{count}{word}")
    return "-".join(parts)


def check_names(cases):
    names = [case.name for case in cases]
    for name in names:
        if names.count(name) > 1:
            raise BadValue(f"--case: two cases are named {name}; give one a name=")
    return cases


def parse_peers(text):
    """Names of peers, in the order in which reports show them."""
    names = [one_of("--peers", name, PEERS) for name in text.split(",")]
    return tuple(peer for peer in PEERS if peer in names)


def with_peers(cases, wanted):
    return [dataclasses.replace(case, peers=tuple(p for p in case.peers if p in wanted))
            for case in cases]


def plan(cases, rounds, execs, peaks):
    """What the node's half is told."""
    return {"rounds": rounds, "execs": execs, "cases": [case.for_node() for case in cases],
            "peaks": [case.for_node() for case in peaks]}


def deadline_s(cases, rounds):
    """Beyond every run that goes on; only one that hangs is ended by it."""
    seconds = 600
    for case in cases:
        leg = LEG_ALLOWANCE_S + case.mib * LEG_ALLOWANCE_S_PER_MIB
        seconds += (len(case.peers) + 2) * rounds * leg
    return round(seconds)
