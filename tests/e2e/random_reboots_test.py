#!/usr/bin/python3
"""A node is lost at random instants of a restore: what comes up afterwards is of one cut, or of none."""
import collections
import random
import threading
import time
import unittest

import lab
from bare_pod import BarePod
from never_cold_again_test import AgainTest, reboot
from two_nodes import b, setUpModule, tearDownModule  # noqa: F401

ROUNDS = lab.times(short=2, long=40)


class RandomRebootsTest(AgainTest):
    CONTAINERS = ("one", "two")

    def new_pod(self):
        pod = BarePod(b, self.archive.name, *[lab.container(name, "counter") for name in self.CONTAINERS])
        self.addCleanup(pod.end)
        return pod

    @staticmethod
    def run_while_the_node_lives(pod):
        try:
            pod.run()
        except (AssertionError, lab.CommandFailed):
            pass

    def lose_node_in(self, pod, seconds):
        run = threading.Thread(target=self.run_while_the_node_lives, args=(pod,))
        run.start()
        time.sleep(seconds)
        reboot(b)
        run.join()

    def test_a_pod_whose_node_is_lost_is_restored_as_a_whole_or_starts_cold_as_a_whole(self):
        began = time.monotonic()
        self.pod.run()
        span = time.monotonic() - began
        self.assert_restored()
        outcomes = collections.Counter()
        for _ in range(ROUNDS):
            self.pod = self.new_pod()
            seconds = random.uniform(0, span)
            with self.subTest(lost_after_s=round(seconds, 3)):
                self.lose_node_in(self.pod, seconds)

                self.pod.run()

                went_on = {self.pod.report(name)["instance"] == self.before[name]["instance"]
                           for name in self.CONTAINERS}
                self.assertEqual(len(went_on), 1, "half of a cut")
                outcomes["restored" if went_on.pop() else "cold"] += 1
            self.pod.end()
        print(f"{ROUNDS} losses within {span:.2f} s: {dict(outcomes)}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
