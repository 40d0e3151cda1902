import unittest
import xml.etree.ElementTree as ElementTree

import records
from bench import grid, metrics, plot, table, verdicts

CASES = [grid.Case("64mib", 64), grid.Case("256mib", 256), grid.Case(grid.STANDARD, 1024),
         grid.Case("1024mib-heap", 1024, content="heap")]
SVG = "{http://www.w3.org/2000/svg}"


def a_run(cases=tuple(CASES)):
    legs = [records.leg(case.name, peer, number, freeze_ms=case.mib * factor + number)
            for case in cases for number in range(3)
            for peer, factor in (("cryopod", 0.1), ("containerd", 10), ("raw-criu", 0.2))]
    legs.append({"kind": "n/a", "case": grid.STANDARD, "peer": "podman", "act": "checkpoint",
                 "reason": "no | such\nprogram"})
    return records.run(list(cases), *legs)


class PlotTest(unittest.TestCase):
    def test_a_line_for_each_peer_that_was_measured_over_the_plain_sizes(self):
        found = plot.curves(a_run())

        self.assertEqual(["cryopod", "containerd", "raw-criu"], list(found))
        self.assertEqual([64, 256, 1024], [point[0] for point in found["cryopod"]])
        self.assertEqual((1024, 10241, 10240, 10242), found["containerd"][-1])

    def test_everything_lies_inside_the_picture(self):
        root = ElementTree.fromstring(plot.draw(a_run(), "a <caption> & more"))

        lines = root.findall(f"{SVG}polyline")
        self.assertEqual(3, len(lines))
        for line in lines:
            for point in line.get("points").split():
                x, y = map(float, point.split(","))
                self.assertTrue(plot.LEFT <= x <= plot.RIGHT and plot.TOP <= y <= plot.BOTTOM)

    def test_what_stands_still_longer_is_higher(self):
        axis = plot.Axis([3, 4000], 10, plot.BOTTOM, plot.TOP)

        self.assertEqual([1, 10, 100, 1000, 10000], axis.marks())
        self.assertGreater(axis.place(10), axis.place(100))

    def test_one_value_has_an_axis(self):
        self.assertEqual([64, 128], plot.Axis([64], 2, 0, 100).marks())

    def test_nothing_to_draw_is_no_picture(self):
        self.assertIsNone(plot.draw(records.run([CASES[3]]), "nothing"))


class TableTest(unittest.TestCase):
    def text(self, run):
        rows = metrics.rows_of(run)
        return table.text_of(run, rows, verdicts.judge(rows, verdicts.TARGETS))

    def test_every_row_of_a_table_has_its_heads_columns(self):
        for block in self.text(a_run()).split("\n\n"):
            lines = [line for line in block.splitlines() if line.startswith("|")]
            self.assertEqual(1, len({line.count("|") for line in lines} or {0}), block)

    def test_the_standard_case_shows_every_peer_ours_as_a_part_and_every_reason_once(self):
        text = self.text(a_run())

        self.assertIn("| freeze | 103 ms | 10.2 s (0.0101) | 206 ms (0.502) | n/a | n/a |", text)
        self.assertEqual(1, text.count("no | such program"))

    def test_figures_are_as_people_read_them(self):
        self.assertEqual(["–", "0.123", "250 ms", "12.3 s", "1234 MiB"],
                         [table.figure(None), table.figure(0.12345), table.figure(0.25, "s"),
                          table.figure(12345, "ms"), table.figure(1234.4, "MiB")])
