import unittest

from bench import metrics, verdicts
from bench.verdicts import TARGETS, TARGETS_QUICK, judge


def verdict_on(rows, metric, targets=TARGETS):
    return next(v for v in judge(rows, targets) if v.target.metric == metric)


class JudgeTest(unittest.TestCase):
    def test_a_ratio_at_its_limit_is_met_and_one_above_is_missed(self):
        for ratio, word in ((0.15, "met"), (0.151, "missed")):
            row = metrics.row("freeze_vs_containerd", ratio=ratio)

            self.assertEqual(word, verdict_on([row], "freeze_vs_containerd").word)

    def test_a_difference_is_judged_by_its_difference(self):
        row = metrics.row("exec_over_bare_runtime_ms", ours=90, peer=88, difference=2)

        found = verdict_on([row], "exec_over_bare_runtime_ms")

        self.assertEqual((2, True), (found.figure, found.is_met))

    def test_what_was_refused_or_is_not_there_is_not_judged(self):
        row = metrics.row("freeze_vs_containerd", reason="the machine is busy")

        found = verdict_on([row], "freeze_vs_containerd")

        self.assertEqual((None, "the machine is busy"), (found.is_met, found.reason))
        self.assertEqual({None}, {found.is_met for found in judge([], TARGETS)})

    def test_the_program_that_grew_most_is_judged(self):
        rows = [metrics.row("peak_mib_cryopod_agent", ours=20, difference=0.5),
                metrics.row("peak_mib_cryopod_unpack", ours=200, difference=190),
                metrics.row("peak_mib_criu", ours=1024, difference=960)]

        found = verdict_on(rows, verdicts.PEAK_GROWTH)

        self.assertEqual((False, "cryopod_unpack"), (found.is_met, found.reason))

    def test_quick_reports_any_figure_and_misses_one_that_is_not_there(self):
        rows = [metrics.row("freeze_vs_containerd", ratio=99)]

        words = [found.word for found in judge(rows, TARGETS_QUICK)]

        self.assertEqual(["reported"] + ["not judged"] * (len(TARGETS_QUICK) - 1), words)
