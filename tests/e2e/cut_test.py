"""The cut is one: two containers exchange numbered messages under full load, and no restored side
has received a message that the other's memory does not know as sent."""
import os
import random
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
        reports = self.reports(restored)
        self.assertEqual([report["violations"] for report in reports.values()], [0, 0], reports)
        wait_until(lambda: all(restored.report(name)["received"] > report["received"]
                               for name, report in reports.items()), "both sides go on receiving")

    def test_no_side_has_received_what_the_other_has_not_sent(self):
        source = self.run_pod("cut", lab.container("left", "exchange listen"),
                              lab.container("right", "exchange connect"))
        chance = random.Random()
        for attempt in range(CHECKPOINTS):
            with self.subTest(attempt=attempt):
                time.sleep(chance.uniform(0.05, 0.5))
                before = self.reports(source)
                archive = self.checkpoint(source)["archive"]
                carry(archive)
                restored = self.restore(archive)
                self.check_cut(restored)
                self.assert_all_went_on(before, restored)
                restored.remove()
                for node in (a, b):
                    node.ctl("delete", archive)
        self.assert_ok(source)


if __name__ == "__main__":
    unittest.main(verbosity=2)
