"""The rows of a report, made of what a run has recorded.

A row has `metric`, `ours`, `peer`, `ratio`, `n`, `iqr` always: medians of both sides, the median and
the quartiles' distance of the ratios of n pairs. Rows about a difference or a single number have
`ratio` null, and `difference` or only `ours`. `unit`, `case`, `reason` (why something is null) and
`remark` and `forced` (why there should be no ratio) stand where they apply.
"""
from bench import grid
from bench.ratios import Legs, Side, spread

PEER_LABELS = {"containerd": "containerd", "raw-criu": "raw_criu_tmpfs",
               "raw-criu-container": "raw_criu_container", "runc": "runc", "podman": "podman"}
ARCHIVERS = ("containerd", "runc", "podman")
RESTORERS = ("containerd", "raw-criu", "podman")
# Raw CRIU leaves images in memory: neither packed nor hashed nor safe from a power cut.
MEASURES = (  # name, act, key of the leg, unit, factor, peers
    ("freeze", "checkpoint", "freeze_ms", "ms", 1, grid.PEERS),
    ("archive_total", "checkpoint", "total_s", "s", 1, ARCHIVERS),
    ("archive_size", "checkpoint", "size_bytes", "MiB", 2**-20, ARCHIVERS),
    ("cpu", "checkpoint", "cpu_s", "s", 1, ARCHIVERS),
    ("first_heartbeat", "restore", "first_heartbeat_s", "s", 1, RESTORERS),
    ("restore_total", "restore", "total_s", "s", 1, RESTORERS),
    ("restore_cpu", "restore", "cpu_s", "s", 1, RESTORERS),
)
# CRIU alone needs longer for a container than for a plain process; both are told.
SMALL_DIFFERENCES = (
    ("small_freeze_over_raw_criu_ms", "raw-criu-container", "freeze_ms", 1),
    ("small_wall_over_raw_criu_ms", "raw-criu-container", "total_s", 1000),
    ("small_freeze_over_raw_criu_process_ms", "raw-criu", "freeze_ms", 1),
    ("small_wall_over_raw_criu_process_ms", "raw-criu", "total_s", 1000))
# Of the benchmark and of the tests, not of what is installed on a node.
PROGRAMS_OF_TESTS = {"bench-limits", "cri-tool"}
LIMIT_UNITS = {"gb_per_s": "GB/s", "ms_per_gib": "ms/GiB"}
DIGITS = 4


def rounded(value):
    return None if value is None else round(value, DIGITS)


class Run:
    """All records of one run: the header, what the node's half said, and the end."""

    def __init__(self, records):
        self.records = records
        self.header = self._one("run")
        self.cases = [grid.Case.of_node(case) for case in self.header["plan"]["cases"]]
        self.legs = Legs(records)

    def _one(self, kind):
        return next((record for record in self.records if record["kind"] == kind), None)

    def all(self, kind):
        return [record for record in self.records if record["kind"] == kind]

    @property
    def ended(self):
        return self._one("end") is not None

    @property
    def machine(self):
        return {**self.header["machine"], **((self._one("end") or {}).get("machine") or {})}

    @property
    def busy_reason(self):
        return self.header["busy_reason"] or (self._one("end") or {}).get("busy_reason")

    def reason(self, *sides):
        """Why one of these has no legs."""
        who = [(side.case, side.peer) for side in sides]
        for record in self.all("n/a"):
            if (record["case"], record["peer"]) in who and record["act"] != "peaks":
                return f"n/a: {record['peer']}, {record['act']}: {record['reason']}"
        return "n/a: no round has both"


def row(metric, **values):
    return {"metric": metric, "ours": None, "peer": None, "ratio": None, "n": 0, "iqr": None,
            **{key: value for key, value in values.items() if value is not None}}


class Rows:
    def __init__(self, run):
        self._run = run

    def all(self):
        run = self._run
        rows = [row("machine", machine=run.machine, reason=run.busy_reason)]
        # What everybody looks for comes first.
        for case in sorted(run.cases, key=lambda case: case.name != run.header["standard"]):
            rows += self._of_case(case)
        return rows + [*self._exec(), *self._resident(), *self._peaks(), *self._limits()]

    def _of_case(self, case):
        suffix = "" if case.name == self._run.header["standard"] else "_" + case.name.replace("-", "_")
        for name, act, key, unit, factor, peers in MEASURES:
            if act == "restore" and not case.restore:
                continue
            for peer in case.peers:
                if peer in peers:
                    yield self._ratio(f"{name}_vs_{PEER_LABELS[peer]}{suffix}", (key, factor, unit),
                                      Side(case.name, grid.OURS, act), Side(case.name, peer, act))
        if case.beside is not None:
            for name, act, key, unit, factor, _ in MEASURES[:2]:
                yield self._ratio(f"{name}_{case.name}_vs_{case.beside.name}", (key, factor, unit),
                                  Side(case.name, grid.OURS, act),
                                  Side(case.beside.name, grid.OURS, act))
        for name, peer, key, factor in SMALL_DIFFERENCES:
            if case.name == grid.SMALL and peer in case.peers:
                sides = [Side(case.name, side, "checkpoint") for side in (grid.OURS, peer)]
                yield self._difference(name, "ms", self._pairs(*sides, key, factor), case=case.name,
                                       reason=self._run.reason(*sides))

    def _pairs(self, ours, peer, key, factor):
        pairs, remark = self._run.legs.pairs(ours, peer, key)
        return [(own * factor, other * factor) for own, other in pairs], remark

    def _ratio(self, metric, measure, ours, peer):
        key, factor, unit = measure
        pairs, remark = self._pairs(ours, peer, key, factor)
        if not pairs:
            return row(metric, unit=unit, case=ours.case,
                       reason=self._run.reason(ours, peer))
        if any(other <= 0 for _, other in pairs):
            return row(metric, unit=unit, case=ours.case, reason="n/a: the peer's figure is not above 0")
        ratios = spread([own / other for own, other in pairs])
        return self._judgeable(row(
            metric, ours=rounded(spread([own for own, _ in pairs]).median),
            peer=rounded(spread([other for _, other in pairs]).median),
            ratio=rounded(ratios.median), n=ratios.n, iqr=rounded(ratios.iqr), unit=unit,
            case=ours.case, remark=remark))

    def _difference(self, metric, unit, pairs_and_remark, reason=None, **more):
        pairs, remark = pairs_and_remark
        if not pairs:
            return row(metric, unit=unit, reason=reason, **more)
        differences = spread([own - other for own, other in pairs])
        return self._judgeable(row(
            metric, ours=rounded(spread([own for own, _ in pairs]).median),
            peer=rounded(spread([other for _, other in pairs]).median),
            difference=rounded(differences.median), n=differences.n, iqr=rounded(differences.iqr),
            unit=unit, remark=remark, **more))

    def _judgeable(self, values):
        """The row without what a busy machine falsifies, unless the run was forced."""
        reason = self._run.busy_reason
        if reason is None:
            return values
        if self._run.header["forced"]:
            return {**values, "forced": reason}
        return {**values, "ratio": None, "iqr": None, "reason": reason,
                **({"difference": None} if "difference" in values else {})}

    def _exec(self):
        for record in self._run.all("n/a"):
            if record["act"] == "exec":
                yield row("exec_over_bare_runtime_ms", unit="ms", reason=f"n/a: {record['reason']}")
        for record in self._run.all("exec"):
            pairs = list(zip(record["cryopod"], record["runc"]))
            yield self._difference("exec_over_bare_runtime_ms", "ms", (pairs, None))

    def _resident(self):
        for record in self._run.all("resident"):
            yield row("agent_resident_mib", ours=rounded(record["agent_mib"]), n=1, unit="MiB",
                      reason=None if record["agent_mib"] else "n/a: no agent runs")

    def _peaks(self):
        """Each program's peak at the largest size, and how much more that is than at the smallest."""
        for record in self._run.all("n/a"):
            if record["act"] == "peaks":
                yield row(f"peak_mib_{record['case'].replace('-', '_')}", unit="MiB",
                          case=record["case"], reason=f"n/a: {record['reason']}")
        by_size = sorted(self._run.all("peaks"), key=lambda record: record["total_mib"])
        for program in sorted(set().union(*(record["mib"] for record in by_size))):
            if program in PROGRAMS_OF_TESTS:
                continue
            seen = [record for record in by_size if program in record["mib"]]
            first, last = seen[0], seen[-1]
            grown = last["mib"][program] - first["mib"][program] if len(seen) > 1 else None
            yield row(f"peak_mib_{program.replace('-', '_')}", ours=rounded(last["mib"][program]),
                      difference=rounded(grown), n=len(seen), unit="MiB",
                      remark=f"at {last['total_mib']} MiB" if grown is None else
                      f"at {last['total_mib']} MiB; difference to {first['total_mib']} MiB")

    def _limits(self):
        """The machine's own figures stand in the place of the peer."""
        for record in self._run.all("limits"):
            for key, value in record.items():
                unit = next((unit for end, unit in LIMIT_UNITS.items() if key.endswith(end)), None)
                if unit:
                    yield row(f"limit_{key}", peer=value, n=1, unit=unit)


def rows_of(run):
    return Rows(run).all()
