#!/usr/bin/python3
"""A checkpoint is one instant, of everything that a pod has: no page, no byte on its way, no signal,
no timer and no file of the restored pod is from before or after it, whenever it is taken.

The pod's containers write memory at full speed, keep pipes and sockets filled, fork, signal, wait,
sync files and exchange numbered messages with each other, and know themselves what must be true
(tests/workloads).
"""
import json
import random
import time
import unittest

import lab
from two_nodes import PodTest, a, b, carry, setUpModule, tearDownModule  # noqa: F401

CHECKPOINTS = lab.times(short=3, long=20)
CONTAINERS = {"instant": "one_instant 32 2", "relay": "relay", "children": "children",
              "clocks": "clocks", "journal": "journal", "left": "exchange listen",
              "right": "exchange connect"}
# Arguments: the program, the request, then container and workload by turns. A line for each.
ASK_ALL = """
program=$1 request=$2
shift 2
while [ $# -gt 0 ]; do
  echo "$("$program" exec "$1" "$2" ask "$request" 2>&1 | tr '\\n' ' ')"
  shift 2
done
"""


def ask_all(pod, request):
    """The answers of all containers by name, with one command in the node."""
    arguments = []
    for name, command in CONTAINERS.items():
        arguments += [pod.containers[name], command.split()[0]]
    answers = pod.node.exec("sh", "-c", ASK_ALL, "_", lab.CRI_TOOL, request, *arguments,
                            timeout_s=4 * lab.COMMAND_TIMEOUT_S).stdout.splitlines()
    return dict(zip(CONTAINERS, (answer.strip() for answer in answers), strict=True))


def reports(pod):
    return {name: json.loads(answer) for name, answer in ask_all(pod, "report").items()}


class OneInstantTest(PodTest):
    def assert_all_ok(self, pod):
        self.assertEqual(ask_all(pod, "verify"), dict.fromkeys(CONTAINERS, "ok"))

    def judge(self, before, restored):
        """Asks every workload of a restored pod; returns how many pages were looked at in it."""
        messages = {side: restored.report(side)["received"] for side in ("left", "right")}
        lab.wait_until(lambda: all(restored.report(side)["received"] > number
                                   for side, number in messages.items()), "both sides go on receiving")
        self.assert_all_ok(restored)
        after = reports(restored)
        for name in CONTAINERS:
            self.assert_went_on(before[name], after[name])
        # The first look came with the gap, before anything was stamped over; then that of verify.
        pages = after["instant"]["pages_checked"] - before["instant"]["pages_checked"]
        self.assertGreaterEqual(pages, 2 * after["instant"]["pages"])
        self.assertGreater(after["instant"]["gaps"], before["instant"]["gaps"])
        return pages

    def test_no_page_and_no_byte_is_of_another_instant(self):
        source = self.run_pod("instant", *(lab.container(name, command)
                                           for name, command in CONTAINERS.items()))
        chance = random.Random()
        checkpoints = pages = faultless = 0
        try:
            for _ in range(CHECKPOINTS):
                time.sleep(chance.uniform(0, 0.5))
                before = reports(source)
                archive = self.checkpoint(source)["archive"]
                checkpoints += 1
                carry(archive)
                restored = self.restore(archive)
                pages += self.judge(before, restored)
                faultless += 1
                restored.remove()
                for node in (a, b):
                    node.ctl("delete", archive)
        finally:
            print(f"{checkpoints} checkpoints, {faultless} restored without a fault, {pages} pages "
                  f"looked at in the restored pods", flush=True)
        self.assert_all_ok(source)


if __name__ == "__main__":
    unittest.main(verbosity=2)
