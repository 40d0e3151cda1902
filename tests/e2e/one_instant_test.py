#!/usr/bin/python3
"""A checkpoint is one instant, of everything that a pod has: no page, no byte on its way, no signal,
no timer and no file of the restored pod is from before or after it, whenever it is taken.

The pod's containers write memory at full speed, keep pipes and sockets filled, fork, signal, wait
and sync files, and know themselves what must be true (tests/workloads). CRYOPOD_CHECKPOINTS says how
often it is checkpointed and restored on the other node.
"""
import os
import random
import sys
import time
import unittest

import lab
from two_nodes import PodTest, a, b, carry, setUpModule, tearDownModule  # noqa: F401

SHORT = bool(os.environ.get("CRYOPOD_SHORT_TESTS"))
CHECKPOINTS = int(os.environ.get("CRYOPOD_CHECKPOINTS") or (5 if SHORT else 20))
CONTAINERS = {"instant": "one_instant 32 2", "relay": "relay", "children": "children",
              "clocks": "clocks", "journal": "journal"}


class OneInstantTest(PodTest):
    def judge(self, before, restored):
        """Asks every workload of a restored pod; returns how many pages were looked at in it."""
        for name in CONTAINERS:
            self.assertEqual(restored.verify(name), "ok", restored.report(name))
        after = {name: restored.report(name) for name in CONTAINERS}
        for name in CONTAINERS:
            self.assert_went_on(before[name], after[name])
        pages = after["instant"]["pages_checked"] - before["instant"]["pages_checked"]
        # At the latest verify has looked at all; that the gap was seen says that this came too late
        # for no page.
        self.assertGreaterEqual(pages, 2 * after["instant"]["pages"])
        self.assertGreater(after["instant"]["gaps"], before["instant"]["gaps"])
        return pages

    def test_no_page_and_no_byte_is_of_another_instant(self):
        source = self.run_pod("instant", *(lab.container(name, command)
                                           for name, command in CONTAINERS.items()))
        chance = random.Random()
        pages = restores = 0
        try:
            for checkpoint in range(CHECKPOINTS):
                with self.subTest(checkpoint=checkpoint):
                    time.sleep(chance.uniform(0, 0.5))
                    before = {name: source.report(name) for name in CONTAINERS}
                    answer = self.checkpoint(source)
                    carry(answer["archive"])
                    restored = self.restore(answer["archive"])
                    pages += self.judge(before, restored)
                    restores += 1
                    restored.remove()
                    for node in (a, b):
                        node.ctl("delete", answer["archive"])
        finally:
            print(f"{CHECKPOINTS} checkpoints, {restores} restores without a fault, {pages} pages "
                  f"checked in the restored pods", flush=True)
        for name in CONTAINERS:
            self.assertEqual(source.verify(name), "ok", "the source")


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main(verbosity=2)
