import json
import unittest

import results
from results import ALONE, DONE, FAILED, OURS, REFUSED, RUNC, Row, Run


def row(*runs):
    return Row("shop", [Run("shop", ALONE, verdict=0, says="all there"), *runs])


def right(side):
    return Run("shop", side, checkpoint=DONE, restore=DONE, verdict=0)


class ResultsTest(unittest.TestCase):
    def test_a_row_counts_what_was_done_on_each_side(self):
        shop = row(right(OURS), right(OURS), right(RUNC),
                   Run("shop", RUNC, checkpoint=DONE, restore=FAILED, reason="no"))

        self.assertEqual(["shop", "right", "2 of 2", "2 of 2", "right", "2 of 2", "1 of 2", "right",
                          "plain runc, restore: no"], shop.cells())
        self.assertFalse(shop.is_wrong(OURS))
        self.assertTrue(shop.is_wrong(RUNC))

    def test_another_verdict_than_alone_is_wrong_and_says_its_reason(self):
        shop = row(right(OURS), Run("shop", OURS, checkpoint=DONE, restore=DONE, verdict=1,
                                    says="3 | 4 lost"))

        self.assertTrue(shop.is_wrong(OURS))
        self.assertEqual("**wrong** 1 of 2", shop.cells()[4])
        self.assertIn("cryopod, exit code 1: 3 \\| 4 lost", results.table([shop]))
        self.assertIn("WRONG under cryopod", "".join(results.summary([shop])))

    def test_a_source_that_ran_on_wrongly_makes_the_run_wrong(self):
        run = right(OURS)
        run.source_verdict, run.source_says = 2, "stands still"

        self.assertTrue(row(run).is_wrong(OURS))
        self.assertEqual(["cryopod, source, exit code 2: stands still"], row(run).remarks())

    def test_a_refused_dump_is_no_wrong_and_each_side_names_its_reason_once(self):
        refused = [Run("shop", OURS, checkpoint=REFUSED, reason="/dev/shm holds files")] * 2
        shop = row(*refused, right(RUNC))

        self.assertFalse(shop.is_wrong(OURS))
        self.assertTrue(shop.is_refused(OURS))
        self.assertEqual(["0 of 2", "–", "–"], shop.cells()[2:5])
        self.assertEqual(["cryopod refuses: /dev/shm holds files"], shop.remarks())

    def test_reasons_that_differ_in_names_made_at_random_are_one_remark(self):
        reasons = ["/dev/shm holds files (sem.mp-8kbqj8xr), which an archive does not carry",
                   "/dev/shm holds files (sem.mp-_wo47l3k), which an archive does not carry",
                   "a process uses a pipe of packets"]
        shop = row(*(Run("shop", OURS, checkpoint=REFUSED, reason=reason) for reason in reasons))

        self.assertEqual([f"cryopod refuses: {reason}" for reason in (reasons[0], reasons[2])],
                         shop.remarks())

    def test_a_run_that_came_to_no_verdict_is_wrong(self):
        for run in (Run("shop", OURS, reason="not ready"),
                    Run("shop", OURS, checkpoint=FAILED, reason="killed"),
                    Run("shop", OURS, checkpoint=DONE, restore=DONE, reason="exec failed")):
            self.assertTrue(row(run).is_wrong(OURS), run)

    def test_a_program_that_is_wrong_alone_says_nothing_about_anybody(self):
        absent = Row("absent", problem="no image: Unable to locate package absent")
        broken = Row("broken", [Run("broken", ALONE, verdict=1, says="no luck")])

        self.assertEqual(["absent", "–"] + ["–"] * 6 + ["no image: Unable to locate package absent"],
                         absent.cells())
        self.assertEqual("exit code 1", broken.cells()[1])
        for bad in (absent, broken):
            self.assertFalse(bad.is_judgeable())
            self.assertIn("could not be judged", "".join(results.summary([bad])))
            self.assertFalse(json.loads(bad.to_json())["judgeable"])

    def test_a_line_of_json_holds_the_counts(self):
        line = json.loads(row(right(OURS)).to_json())

        self.assertEqual({"runs": 1, "checkpoints": 1, "restores": 1, "right": 1, "refused": False},
                         line["cryopod"])
        self.assertEqual("shop", json.loads(right(OURS).to_json())["program"])
