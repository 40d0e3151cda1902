import json
import pathlib
import subprocess
import tempfile
import unittest

import records
from bench import grid

BENCH = pathlib.Path(__file__).resolve().parents[4] / "hack/bench"
CASES = [grid.Case(grid.STANDARD, 1024, peers=("containerd",), restore=False)]


def bench(*arguments):
    return subprocess.run(["/usr/bin/python3", "-B", str(BENCH), *map(str, arguments)], text=True,
                          capture_output=True, timeout=60, check=False)


class CommandTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def kept(self, freeze_ms, **options):
        """A file as --raw writes it: ours, against 1,000 ms of containerd."""
        legs = [records.leg(CASES[0].name, peer, number, freeze_ms=value, total_s=value)
                for number in range(3)
                for peer, value in (("cryopod", freeze_ms), ("containerd", 1000))]
        path = self.folder / "raw"
        lines = [records.header(CASES, **options), *legs, records.end()]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    def kept_quick(self, absent=None):
        """A whole quick run in which every peer is far better than ours, or `absent` could not run."""
        lines = [records.header(grid.quick(), standard=grid.STANDARD_QUICK, which="quick"),
                 {"kind": "exec", "cryopod": [90], "runc": [1]}, {"kind": "resident", "agent_mib": 99}]
        for case in grid.quick():
            for act in ("checkpoint", "restore") if case.restore else ("checkpoint",):
                ours = {"freeze_ms": 9000, "total_s": 90}
                lines += [records.leg(case.name, peer, 0, act, **(ours if peer == grid.OURS else {}))
                          for peer in (grid.OURS, *grid.PEERS) if peer != absent]
                lines.append({"kind": "n/a", "case": case.name, "peer": absent, "act": act,
                              "reason": "it is not there"})
        path = self.folder / "quick"
        path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, records.end()]))
        return path

    def test_a_quick_run_judges_no_figure(self):
        answer = bench("--from", self.kept_quick())

        self.assertEqual(0, answer.returncode, answer.stderr)
        self.assertNotIn("missed", answer.stdout)

    def test_a_quick_run_that_has_not_measured_every_peer_fails_and_names_it(self):
        for peer in (grid.OURS, *grid.PEERS):
            answer = bench("--from", self.kept_quick(absent=peer))

            self.assertEqual(1, answer.returncode, peer)
            self.assertIn(f"n/a: {peer}, checkpoint: it is not there", answer.stderr)

    def test_a_bad_value_is_named_before_anything_is_done(self):
        for arguments, said in ((("--rounds", "0"), "--rounds=0: a whole number from 1 to 100"),
                                (("--peers", "docker"), "--peers=docker: one of containerd"),
                                (("--case", "mib=x"), "mib=x: a whole number"),
                                (("--prefix", self.folder), "no installed tree"),
                                (("--svg", self.folder / "a/b.svg"), "a folder that exists"),
                                (("--from", self.folder / "none"), "none: ")):
            answer = bench(*arguments)

            self.assertEqual(2, answer.returncode, answer.stderr)
            self.assertIn(said, answer.stderr)
            self.assertNotIn("Traceback", answer.stderr)

    def test_reports_as_json_what_was_kept(self):
        answer = bench("--from", self.kept(100), "--json")

        rows = {row["metric"]: row for row in map(json.loads, answer.stdout.splitlines())}
        self.assertEqual((0, 0.1, 3), (answer.returncode, rows["freeze_vs_containerd"]["ratio"],
                                       rows["freeze_vs_containerd"]["n"]))

    def test_writes_table_and_picture(self):
        table, svg = self.folder / "t.md", self.folder / "p.svg"

        answer = bench("--from", self.kept(100), "--table", table, "--svg", svg)

        self.assertEqual(answer.stdout, table.read_text())
        self.assertIn("containerd", svg.read_text())

    def test_a_missed_target_fails_and_is_named(self):
        answer = bench("--from", self.kept(160))

        self.assertEqual(1, answer.returncode)
        self.assertIn("missed: freeze_vs_containerd 0.16", answer.stderr)

    def test_a_busy_machine_fails_without_ratios_unless_it_is_forced(self):
        path = self.kept(100, busy_reason="the machine is busy")

        self.assertEqual(3, bench("--from", path).returncode)
        forced = bench("--from", path, "--force")

        self.assertEqual(0, forced.returncode)
        self.assertIn("Ratios were forced", forced.stdout)

    def test_a_standard_grid_that_could_not_be_judged_fails(self):
        for which in ("quick", "full"):
            self.assertEqual(1, bench("--from", self.kept(100, which=which)).returncode)
