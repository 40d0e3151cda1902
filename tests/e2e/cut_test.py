"""The cut is one: two containers exchange numbered messages under full load, and no restored side
has received a message that the other's memory does not know as sent."""
import os
import random
import sys
import time
import unittest

import lab
from lab import wait_until
from two_nodes import PodTest, a, b, carry, setUpModule, tearDownModule  # noqa: F401

SHORT = bool(os.environ.get("CRYOPOD_SHORT_TESTS"))
CHECKPOINTS = 5 if SHORT else 20


class CutTest(PodTest):
    def check_cut(self, restored):
        """Every message is checked against both memories by the workloads; here their sums."""
        reports = {name: restored.report(name, "exchange") for name in ("left", "right")}
        for side, other in (("left", "right"), ("right", "left")):
            self.assertEqual(reports[side]["violations"], 0, reports)
        wait_until(
            lambda: all(restored.report(name, "exchange")["received"] >
                        reports[name]["received"] for name in reports),
            "both sides go on receiving")
        for name in reports:
            self.assertEqual(restored.verify(name, "exchange"), "ok", restored.report(name, "exchange"))

    def test_no_side_has_received_what_the_other_has_not_sent(self):
        source = self.run_pod("cut", lab.container("left", "exchange listen"),
                              lab.container("right", "exchange connect"))
        chance = random.Random()
        for attempt in range(CHECKPOINTS):
            with self.subTest(attempt=attempt):
                time.sleep(chance.uniform(0.05, 0.5))
                before = {name: source.report(name, "exchange") for name in ("left", "right")}
                archive = self.checkpoint(source)["archive"]
                carry(archive)
                restored = self.restore(archive)
                for name in before:
                    self.assert_went_on(before[name], restored.report(name, "exchange"))
                self.check_cut(restored)
                restored.remove()
                for node in (a, b):
                    node.ctl("delete", archive)
        for name in ("left", "right"):
            self.assertEqual(source.verify(name, "exchange"), "ok", "the source")


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main(verbosity=2)
