"""What came out of running a program: one Run after another, a row of the table at the end."""
import dataclasses
import difflib
import json

ALONE, OURS, RUNC = "without us", "cryopod", "plain runc"
DONE, REFUSED, FAILED = "done", "refused", "failed"
REASON_LENGTH_MAX = 300
# Reasons that differ in the names that a program gives its files at random are one reason.
LIKENESS_MIN = 0.8
HEADER = ("program", "without us", "checkpoints", "restores", "verdict", "plain runc: checkpoints",
          "restores", "verdict", "remarks")


@dataclasses.dataclass
class Run:
    """One run of one program. A step that was not reached is ""; `verdict` is the exit code of its
    stop-and-verify, and None when it was not asked."""
    program: str
    side: str
    number: int = 0
    after_s: float = 0.0        # from ready to the checkpoint
    checkpoint: str = ""
    restore: str = ""
    verdict: int | None = None
    says: str = ""              # the verdict's own words
    source_verdict: int | None = None  # of the source that ran on
    source_says: str = ""
    reason: str = ""            # why it did not come to a verdict

    def to_json(self):
        return json.dumps({"kind": "run", **dataclasses.asdict(self)})


@dataclasses.dataclass
class Row:
    """All runs of one program."""
    program: str
    runs: list = dataclasses.field(default_factory=list)
    problem: str = ""           # why nothing could be run

    @property
    def alone(self):
        return next((run for run in self.runs if run.side == ALONE), None)

    def of(self, side):
        return [run for run in self.runs if run.side == side]

    def is_judgeable(self):
        """The program is right when nobody touches it; otherwise nothing is said about anybody."""
        return not self.problem and self.alone is not None and self.alone.verdict == 0

    def counts(self, side):
        runs = self.of(side)
        dumped = [run for run in runs if run.checkpoint == DONE]
        restored = [run for run in dumped if run.restore == DONE]
        right = [run for run in restored if run.verdict == 0 and run.source_verdict in (None, 0)]
        return len(runs), len(dumped), len(restored), len(right)

    def is_refused(self, side):
        return any(run.checkpoint == REFUSED for run in self.of(side))

    def is_wrong(self, side):
        """Something that was begun did not come to the verdict that the program has alone."""
        return any(run.checkpoint != REFUSED and
                   (run.restore != DONE or run.verdict != 0 or run.source_verdict not in (None, 0))
                   for run in self.of(side))

    def cells(self):
        return [self.program, self._alone_cell(), *self._side_cells(OURS), *self._side_cells(RUNC),
                "; ".join(self.remarks()) or ""]

    def remarks(self):
        """Each kind of remark once, in the words of the first run; the runs' own lines have all."""
        if self.problem:
            return [self.problem]
        found = []
        for side in (ALONE, OURS, RUNC):
            for words in self._words(side):
                if not any(_is_like(words, known) for known in found):
                    found.append(words)
        return found

    def to_json(self):
        sides = {}
        for side in (OURS, RUNC):
            runs, dumped, restored, right = self.counts(side)
            sides[side] = {"runs": runs, "checkpoints": dumped, "restores": restored,
                           "right": right, "refused": self.is_refused(side)}
        return json.dumps({"kind": "program", "program": self.program,
                           "judgeable": self.is_judgeable(), **sides, "remarks": self.remarks()})

    def _alone_cell(self):
        if self.alone is None:
            return "–"
        if self.alone.verdict is None:
            return "not run"
        return "right" if self.alone.verdict == 0 else f"exit code {self.alone.verdict}"

    def _side_cells(self, side):
        runs, dumped, restored, right = self.counts(side)
        if runs == 0:
            return ["–"] * 3
        verdict = "–" if restored == 0 else "right" if right == restored else \
            f"**wrong** {restored - right} of {restored}"
        return [f"{dumped} of {runs}", f"{restored} of {dumped}" if dumped else "–", verdict]

    def _words(self, side):
        for run in self.of(side):
            if run.checkpoint == REFUSED:
                yield f"{side} refuses: {shorten(run.reason)}"
            elif run.reason:
                step = "restore" if run.checkpoint == DONE else \
                    "checkpoint" if run.checkpoint else "run"
                yield f"{side}, {step}: {shorten(run.reason)}"
            elif run.verdict not in (None, 0):
                yield f"{side}, exit code {run.verdict}: {shorten(run.says)}"
            if run.source_verdict not in (None, 0):
                yield f"{side}, source, exit code {run.source_verdict}: {shorten(run.source_says)}"


def _is_like(words, other):
    compared = difflib.SequenceMatcher(None, words, other, autojunk=False)
    return compared.ratio() >= LIKENESS_MIN


def shorten(text):
    text = " ".join(text.split())
    return text if len(text) <= REASON_LENGTH_MAX else text[:REASON_LENGTH_MAX - 1] + "…"


def table(rows):
    """Markdown."""
    lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row.cells()) + " |"
              for row in rows]
    return "\n".join(lines) + "\n"


def summary(rows):
    """One sentence for each thing that is not as it should be."""
    for row in rows:
        if not row.is_judgeable():
            yield f"{row.program}: could not be judged: {'; '.join(row.remarks())}"
        elif row.is_wrong(OURS):
            whose = " (and under plain runc)" if row.is_wrong(RUNC) else ""
            yield f"{row.program}: WRONG under cryopod{whose}: {'; '.join(row.remarks())}"
