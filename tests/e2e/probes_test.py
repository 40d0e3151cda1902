#!/usr/bin/python3
"""Probes never defeat a checkpoint: an exec probe every second, on a node at load 10, and every checkpoint
of the pod succeeds, with no probe that counts as failed for it.

CRYOPOD_PROBES_MIB gives the pod so much memory (256): hack/soak probes.
"""
import json
import os
import subprocess
import threading
import unittest

import lab
from two_nodes import PodTest, a, setUpModule, tearDownModule, unique  # noqa: F401

CHECKPOINTS = lab.times(short=3, long=20)
MIB = int(os.environ.get("CRYOPOD_PROBES_MIB", "256"))
LOAD = 10


# So many processes that only compute, until standard input ends, and for no longer than the test may take.
COMPUTE = """
for i in $(seq $1); do
  timeout -s KILL 1500 sh -c 'while :; do :; done' &
  works="$works $!"
done
cat >/dev/null
kill $works
wait
"""


class Load:
    """A node's other work: processes of its own, so that they share its processors with the pod."""

    def __init__(self, node):
        self._node = node

    def __enter__(self):
        self._work = self._node.lab.start("exec", self._node.name, "sh", "-c", COMPUTE, "_", str(LOAD),
                                          stdin=subprocess.PIPE)

    def __exit__(self, *_):
        self._work.stdin.close()
        self._work.wait(60)


class Probe:
    """An exec probe as a kubelet's: every second, with a limit of a second that the runtime counts from when the
    command runs, and far more patience for the call itself."""

    def __init__(self, pod, container):
        self._asks = pod.node.lab.start(
            "exec", pod.node.name, lab.CRI_TOOL, "--limit", "1", "probe", pod.containers[container],
            "/bin/sh", "-c", ":", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read)
        self.answers = []

    def _read(self):
        for line in self._asks.stdout:
            self.answers.append(json.loads(line))

    def __enter__(self):
        self._reader.start()
        return self

    def __exit__(self, *_):
        self._asks.stdin.close()
        self._asks.wait(60)
        self._reader.join()
        self._asks.stdout.close()

    @property
    def failed(self):
        """An exit code, or the limit was over: a kubelet counts it."""
        return [answer for answer in self.answers
                if answer["exit_code"] or "timeout" in answer["error"] or "timed out" in answer["error"]]

    @property
    def errors(self):
        """The runtime could not run it: a kubelet throws that away."""
        return [answer for answer in self.answers if answer["error"] and answer not in self.failed]


class ProbesTest(PodTest):
    def check(self, handler):
        """Every checkpoint of a pod of this handler succeeds. Returns its probe."""
        pod = a.run_pod(lab.pod(unique("probed")), [lab.container("count", "counter"),
                                                    lab.container("memory", f"memory_load {MIB}")],
                        handler=handler)
        self.remove_later(pod)
        pod.wait_for("memory", timeout_s=120)
        answers, refused = [], []
        with Load(a), Probe(pod, "memory") as probe:
            lab.wait_until(lambda: probe.answers, "the first probe is answered", timeout_s=60)
            for _ in range(CHECKPOINTS):
                archive = unique("probed")
                answer = a.ctl("--output", "json", "checkpoint", pod.sandbox, "--archive", archive,
                               timeout_s=300, check=False)
                if answer.returncode == 0:
                    answers.append(json.loads(answer.stdout))
                    a.ctl("delete", archive)
                else:
                    refused.append(answer.stderr)
        self.tell(handler, answers, probe)
        self.assertEqual(refused, [], f"{len(answers)} of {CHECKPOINTS} checkpoints were made")
        self.assertEqual(probe.failed, [])
        for answer in answers:
            dump = sum(phase["duration_us"] for phase in answer["phases"] if phase["name"] == "dump")
            self.assertGreaterEqual(answer["freeze_us"], dump, "all of it is told")
        pod.wait_until_it_counts()
        self.assert_ok(pod)
        self.assertEqual(a.frozen_cgroups(), [])
        return probe

    def tell(self, handler, answers, probe):
        freezes = sorted(answer["freeze_us"] // 1000 for answer in answers)
        longest = max(answer["seconds"] for answer in probe.answers)
        print(f"\n{handler or 'runc'}, {MIB} MiB: {len(answers)} of {CHECKPOINTS} checkpoints, sums of freezes in "
              f"ms {freezes}; {len(probe.answers)} probes, {len(probe.failed)} failed, {len(probe.errors)} not run, "
              f"the longest {longest:.1f} s", flush=True)

    def test_of_our_handler_whose_execs_wait_at_the_door(self):
        probe = self.check("cryopod")

        self.assertEqual(probe.errors, [], "none met a frozen container")

    def test_of_any_other_handler(self):
        self.check(None)


if __name__ == "__main__":
    unittest.main(verbosity=2)
