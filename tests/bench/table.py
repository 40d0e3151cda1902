"""A report in Markdown: the targets, the standard case with every peer, the other cases, the rest."""
import textwrap

from bench import machine

PEER_NAMES = {"containerd": "containerd", "raw_criu_tmpfs": "raw CRIU, tmpfs",
              "raw_criu_container": "raw CRIU on a container, tmpfs", "runc": "runc + tar",
              "podman": "Podman"}
MEASURE_NAMES = {
    "freeze": "freeze", "archive_total": "until the archive is safe", "archive_size": "archive",
    "cpu": "CPU of the checkpoint", "first_heartbeat": "restore to the first heartbeat",
    "restore_total": "restore until all memory is there", "restore_cpu": "CPU of the restore"}
# What the other cases are compared in.
COMPARED = (("freeze", "containerd"), ("freeze", "raw_criu_tmpfs"), ("freeze", "runc"),
            ("freeze", "podman"), ("archive_total", "containerd"), ("restore_total", "containerd"))
NOTHING = "–"
REASON_CHARACTERS = 240


def figure(value, unit=""):
    """Three digits, as people read them."""
    if value is None:
        return NOTHING
    if unit == "ms" and abs(value) >= 1000:
        value, unit = value / 1000, "s"
    if unit == "s" and abs(value) < 1:
        value, unit = value * 1000, "ms"
    digits = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{digits} {unit}".strip()


def markdown(head, body):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in body]
    return "\n".join(lines)


class Table:
    def __init__(self, run, rows, verdicts):
        self._run = run
        self._by_metric = {row["metric"]: row for row in rows}
        self._rows = rows
        self._verdicts = verdicts

    def text(self):
        parts = [machine.described(self._run.machine)]
        if self._run.busy_reason:
            forced = " Ratios were forced." if self._run.header["forced"] else ""
            parts.append(f"**Not to be relied on: {self._run.busy_reason}.{forced}**")
        parts.append(self._targets())
        standard = [case for case in self._run.cases if case.name == self._run.header["standard"]]
        parts.append("Medians; in brackets, and in the columns with ÷, cryopod's as a part of the peer's.")
        parts += [self._peers(case) for case in standard]
        parts += [self._cases(), self._rest(), self._remarks()]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _targets(self):
        def limit(verdict):
            return "none" if verdict.target.limit is None else f"≤ {verdict.target.limit:g}"

        def shown(verdict):
            spread = "" if verdict.iqr is None else f" (IQR {verdict.iqr:.2g})"
            return figure(verdict.figure) + spread

        return markdown(("target", "limit", "measured", "verdict"),
                        [(v.target.words, limit(v), shown(v), v.word) for v in self._verdicts])

    def _peers(self, case):
        """The standard case: who takes how long, and in brackets ours as a part of that."""
        peers = [peer for peer in PEER_NAMES if f"freeze_vs_{peer}" in self._by_metric]
        body = []
        for measure, words in MEASURE_NAMES.items():
            found = {peer: self._by_metric[f"{measure}_vs_{peer}"] for peer in peers
                     if f"{measure}_vs_{peer}" in self._by_metric}
            ours = next((row for row in found.values() if row["ours"] is not None), None)
            if ours is not None:
                body.append((words, figure(ours["ours"], ours["unit"]),
                             *(self._compared(found.get(peer)) for peer in peers)))
        return body and markdown(
            (case.described(), "cryopod", *(PEER_NAMES[peer] for peer in peers)), body)

    @staticmethod
    def _compared(row):
        if row is None:
            return NOTHING
        if row["peer"] is None:
            return "n/a"
        ratio = "" if row["ratio"] is None else f" ({figure(row['ratio'])})"
        return figure(row["peer"], row["unit"]) + ratio

    def _cases(self):
        body = []
        for case in self._run.cases:
            if case.name == self._run.header["standard"]:
                continue
            suffix = "_" + case.name.replace("-", "_")
            found = [self._by_metric.get(f"{measure}_vs_{peer}{suffix}") for measure, peer in COMPARED]
            freeze = next((row for row in found[:4] if row and row["ours"] is not None), None)
            body.append((case.described(), figure(freeze["ours"], "ms") if freeze else "n/a",
                         *(self._ratio(row) for row in found)))
        head = ("load", "freeze", *(f"{MEASURE_NAMES[measure]} ÷ {PEER_NAMES[peer]}"
                                    for measure, peer in COMPARED))
        return body and markdown(head, body)

    @staticmethod
    def _ratio(row):
        if row is None:
            return NOTHING
        return "n/a" if row["ratio"] is None else figure(row["ratio"])

    def _rest(self):
        """Single numbers and differences."""
        body = []
        for row in self._rows:
            if row["metric"] == "machine" or "_vs_" in row["metric"]:
                continue
            value = row["ours"] if row["ours"] is not None else row["peer"]
            grown = row.get("difference")
            body.append((f"`{row['metric']}`", figure(value, row["unit"]),
                         NOTHING if grown is None else f"{grown:+.3g} {row['unit']}",
                         row.get("remark", "")))
        return body and markdown(("figure", "value", "difference", ""), body)

    def _remarks(self):
        """Why something is missing or was left out, each once."""
        found = {}
        for row in self._rows:
            if "_vs_" in row["metric"]:
                for text in (row.get("reason"), row.get("remark")):
                    if text:
                        found.setdefault(text, []).append(row["metric"])
        lines = []
        for text, metrics in found.items():
            more = f" and {len(metrics) - 1} more" if len(metrics) > 1 else ""
            lines.append(f"- `{metrics[0]}`{more}: {textwrap.shorten(text, REASON_CHARACTERS)}")
        return "\n".join(lines)


def text_of(run, rows, verdicts):
    return Table(run, rows, verdicts).text()
