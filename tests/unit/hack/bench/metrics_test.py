import unittest

import records
from bench import grid, metrics

CASE = grid.Case(grid.STANDARD, 1024, peers=("containerd", "raw-criu", "runc"))
KEYS = {"metric", "ours", "peer", "ratio", "n", "iqr"}


def rows(cases, *more, **options):
    return {row["metric"]: row
            for row in metrics.rows_of(records.run(cases, *more, **options))}


def both(case, peer, ours, theirs, key="freeze_ms", act="checkpoint"):
    return [records.leg(case, who, number, act, **{key: value})
            for number, pair in enumerate(zip(ours, theirs))
            for who, value in zip(("cryopod", peer), pair)]


class RowsTest(unittest.TestCase):
    def test_a_ratio_is_the_median_of_the_rounds_ratios(self):
        found = rows([CASE], *both(grid.STANDARD, "containerd", [10, 20, 90], [100, 100, 100]))

        row = found["freeze_vs_containerd"]
        self.assertEqual((20, 100, 0.2, 3), (row["ours"], row["peer"], row["ratio"], row["n"]))
        self.assertAlmostEqual(0.4, row["iqr"])
        self.assertEqual("ms", row["unit"])

    def test_every_row_has_the_six_keys(self):
        found = rows(
            grid.standard(), *both(grid.STANDARD, "containerd", [10], [100]),
            {"kind": "exec", "cryopod": [5.0], "runc": [4.0]}, {"kind": "resident", "agent_mib": 9.0},
            {"kind": "limits", "memcpy_gb_per_s": 7.5},
            {"kind": "peaks", "case": "64mib", "total_mib": 64, "mib": {"cryopod-agent": 9.0}})

        self.assertGreater(len(found), 60)
        for row in found.values():
            self.assertLessEqual(KEYS, row.keys(), row["metric"])

    def test_raw_criu_makes_no_archive_runc_does_not_restore_and_other_cases_have_a_suffix(self):
        found = rows([CASE, grid.Case("64mib-heap", 64, peers=("containerd",))])

        self.assertLessEqual({"freeze_vs_raw_criu_tmpfs", "restore_total_vs_raw_criu_tmpfs",
                              "archive_total_vs_containerd", "archive_total_vs_containerd_64mib_heap"},
                             found.keys())
        self.assertFalse({"archive_total_vs_raw_criu_tmpfs", "restore_total_vs_runc"} & found.keys())

    def test_a_peer_that_cannot_run_is_there_with_its_reason(self):
        found = rows([CASE], {"kind": "n/a", "case": grid.STANDARD, "peer": "runc",
                              "act": "checkpoint", "reason": "criu failed"})

        row = found["freeze_vs_runc"]
        self.assertEqual((None, 0, "n/a: runc, checkpoint: criu failed"),
                         (row["ratio"], row["n"], row["reason"]))

    SPLIT = grid.Case("2x512", 1024, containers=2, restore=False, peers=(),
                      beside=grid.Case("1x1024", 1024, peers=()))

    def test_a_case_beside_is_compared_with_ours(self):
        legs = [records.leg(case, "cryopod", 0, freeze_ms=value)
                for case, value in (("2x512", 105), ("1x1024", 100))]

        self.assertEqual(1.05, rows([self.SPLIT], *legs)["freeze_2x512_vs_1x1024"]["ratio"])

    def test_a_case_beside_that_failed_is_the_reason(self):
        failed = {"kind": "n/a", "case": "1x1024", "peer": "cryopod", "act": "checkpoint",
                  "reason": "no memory"}

        self.assertEqual("n/a: cryopod, checkpoint: no memory",
                         rows([self.SPLIT], failed)["freeze_2x512_vs_1x1024"]["reason"])

    def test_a_small_pod_is_told_by_differences(self):
        small = grid.Case(grid.SMALL, 1, peers=("raw-criu-container",))
        found = rows([small], *both(grid.SMALL, "raw-criu-container", [0.2, 0.3], [0.1, 0.1], "total_s"))

        row = found["small_wall_over_raw_criu_ms"]
        self.assertAlmostEqual(150, row["difference"])
        self.assertIsNone(row["ratio"])


class BusyTest(unittest.TestCase):
    LEGS = both(grid.STANDARD, "containerd", [10, 20], [100, 100])

    def test_a_busy_machine_has_no_ratios_and_no_differences(self):
        found = rows([CASE], *self.LEGS, {"kind": "exec", "cryopod": [5.0], "runc": [4.0]},
                     busy_reason="the machine is busy")

        row = found["freeze_vs_containerd"]
        self.assertEqual((None, None, "the machine is busy"),
                         (row["ratio"], row["iqr"], row["reason"]))
        self.assertIsNone(found["exec_over_bare_runtime_ms"]["difference"])

    def test_nor_has_one_that_others_used_meanwhile(self):
        run = metrics.Run([records.header([CASE]), *self.LEGS, records.end("others took 40 %")])

        row = next(row for row in metrics.rows_of(run) if row["metric"] == "freeze_vs_containerd")
        self.assertEqual((None, "others took 40 %"), (row["ratio"], row["reason"]))

    def test_forced_ratios_say_what_they_are(self):
        row = rows([CASE], *self.LEGS, busy_reason="the machine is busy",
                   forced=True)["freeze_vs_containerd"]

        self.assertEqual((0.15, "the machine is busy"), (row["ratio"], row["forced"]))


class SingleNumbersTest(unittest.TestCase):
    def test_peaks_tell_the_growth_between_the_sizes(self):
        found = rows([CASE],
                     {"kind": "peaks", "case": "b", "total_mib": 1024,
                      "mib": {"cryopod-checkpoint": 30.0, "cri-tool": 9.0, "criu": 12.0}},
                     {"kind": "peaks", "case": "a", "total_mib": 64,
                      "mib": {"cryopod-checkpoint": 28.5}})

        row = found["peak_mib_cryopod_checkpoint"]
        self.assertEqual((30, 1.5), (row["ours"], row["difference"]))
        self.assertNotIn("difference", found["peak_mib_criu"])
        self.assertNotIn("peak_mib_cri_tool", found)

    def test_limits_are_the_machines(self):
        row = rows([CASE], {"kind": "limits", "memcpy_gb_per_s": 7.5,
                            "fork_ms_per_gib": 12.0})["limit_fork_ms_per_gib"]

        self.assertEqual((12.0, "ms/GiB"), (row["peer"], row["unit"]))
