import dataclasses
import json
import unittest

from bench import grid


class ParseCaseTest(unittest.TestCase):
    def test_a_case_is_what_its_keys_say(self):
        case = grid.parse_case("mib=256,content=heap,dirty=100,restore=no,name=mine")

        self.assertEqual(grid.Case("mine", 256, content="heap", dirty_mib_per_s=100, restore=False),
                         case)

    def test_a_case_without_a_name_is_named_by_the_rest(self):
        self.assertEqual("256mib-heap-2containers",
                         grid.parse_case("mib=256,content=heap,containers=2").name)
        self.assertEqual(grid.STANDARD, grid.parse_case("mib=1024").name)

    def test_a_bad_value_is_named_with_what_is_allowed(self):
        for text, said in (("mib=0", "mib=0: .*from 1 to 65536"),
                           ("mib=-4", "mib=-4: .*from 1 to 65536"),
                           ("content=text", "content=text: .*random, heap, zero"),
                           ("pages=2m", "pages=2m: .*4k, huge"),
                           ("restore=1", "restore=1: .*yes, no"),
                           ("name=A/b", "name=A/b: a-z, 0-9 and -"),
                           ("size=4", "'size=4' is not .*processes"),
                           ("mib", "'mib' is not KEY=VALUE"),
                           ("mib=1,mib=2", "mib is there twice"),
                           ("mib=4,containers=5", "at least 1 MiB"),
                           ("mib=4,processes=5", "at least 1 MiB")):
            with self.assertRaisesRegex(grid.BadValue, said):
                grid.parse_case(text)

    def test_two_cases_of_one_name_are_refused(self):
        with self.assertRaisesRegex(grid.BadValue, "two cases are named 64mib"):
            grid.check_names([grid.parse_case("mib=64"), grid.parse_case("mib=64")])


class GridTest(unittest.TestCase):
    def test_peers_come_in_the_order_of_reports(self):
        self.assertEqual(("containerd", "podman"), grid.parse_peers("podman,containerd"))
        with self.assertRaisesRegex(grid.BadValue, "--peers=docker: one of containerd"):
            grid.parse_peers("docker")

    def test_every_name_of_the_standard_grids_is_unique(self):
        for cases in (grid.standard(), grid.quick()):
            names = [case.name for case in cases]
            names += [case.beside.name for case in cases if case.beside]
            self.assertEqual(len(set(names)), len(names))

    def test_the_grids_hold_the_cases_that_metrics_are_named_after(self):
        self.assertIn(grid.STANDARD, [case.name for case in grid.standard()])
        self.assertIn(grid.STANDARD_QUICK, [case.name for case in grid.quick()])
        self.assertIn(grid.SMALL, [case.name for case in grid.standard()])

    def test_a_case_comes_back_from_the_nodes_plan(self):
        for case in grid.standard() + grid.quick():
            values = json.loads(json.dumps(case.for_node()))

            self.assertEqual(case, grid.Case.of_node(values))

    def test_the_plan_names_ours_among_the_peers(self):
        case = dataclasses.replace(grid.standard()[0], peers=("runc",))

        self.assertEqual(["cryopod", "runc"], grid.plan([case], 7, 0, [])["cases"][0]["peers"])
