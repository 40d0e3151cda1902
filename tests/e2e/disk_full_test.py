"""A disk that fills up while the archive is written: the source runs on, also one that was to be
stopped and is held frozen by then, and nothing is left."""
import sys
import unittest

import lab
from lab import wait_until
from two_nodes import PodTest, a, setUpModule, tearDownModule, unique  # noqa: F401

STATE = "/srv/small"
RUN = "/run/small"
AGENT = ("/opt/cryopod/bin/cryopod-agent --containerd-socket /run/containerd/containerd.sock "
         f"--runtime-root /run/containerd/runc/k8s.io --state-dir {STATE} --run-dir {RUN}")
# Fills the disk as soon as the archive is being written: what preflight has counted on is gone.
FILL = f"""
while ! grep -q '"archive"' {RUN}/jobs/*/events 2>/dev/null; do :; done
dd if=/dev/zero of={STATE}/filler bs=1M 2>/dev/null
true
"""


class DiskFullTest(PodTest):
    def setUp(self):
        a.shell(f"mkdir -p {STATE} && mount -t tmpfs -o size=420m tmpfs {STATE}")
        a.shell(f"setsid {AGENT} </dev/null >/var/log/small-agent.log 2>&1 & echo $! >/run/small.pid")
        wait_until(lambda: a.exec("test", "-S", f"{RUN}/agent.sock", check=False).returncode == 0,
                   "the second agent listens")
        self.pod = self.run_pod("full", lab.container("count", "counter"),
                                lab.container("memory", "memory_pages 256"))

    def tearDown(self):
        a.shell("kill $(cat /run/small.pid); while kill -0 $(cat /run/small.pid); do sleep 0.05; done"
                " 2>/dev/null; true")
        a.shell(f"umount {STATE}; true")

    def checkpoint_while_the_disk_fills(self, *options):
        name = unique("full")
        script = f"({FILL}) & filler=$!; {lab.CTL} --socket {RUN}/agent.sock checkpoint " \
                 f"{self.pod.sandbox} --archive {name} {' '.join(options)}; code=$?; " \
                 f"wait $filler; rm -f {STATE}/filler; exit $code"
        return name, a.exec("sh", "-c", script, check=False, timeout_s=120)

    def check_nothing_has_happened(self, name, answer):
        self.assertEqual(answer.returncode, 8, answer.stdout + answer.stderr)
        self.assertIn("No space left", answer.stderr)
        self.assertEqual(a.shell(f"ls {STATE}/archives {STATE}/archives/.partial 2>/dev/null |"
                                 f" grep {name}; true"), "")
        self.assertEqual(a.shell(f"ls {RUN}/jobs"), "")
        self.assertEqual(a.frozen_cgroups(), [])
        before = self.pod.report("count")["counter"]
        wait_until(lambda: self.pod.report("count")["counter"] > before, "the pod counts")
        self.assertEqual(self.pod.verify("memory"), "ok")

    def test_the_source_runs_on(self):
        name, answer = self.checkpoint_while_the_disk_fills()

        self.check_nothing_has_happened(name, answer)

    def test_a_source_that_was_to_be_stopped_runs_on(self):
        name, answer = self.checkpoint_while_the_disk_fills("--stop")

        self.check_nothing_has_happened(name, answer)

    def test_too_little_space_is_refused_before_anything_is_frozen(self):
        a.shell(f"dd if=/dev/zero of={STATE}/filler bs=1M count=200 2>/dev/null")

        answer = a.ctl("--socket", f"{RUN}/agent.sock", "checkpoint", self.pod.sandbox, check=False)

        self.assertEqual(answer.returncode, 8, answer.stderr)
        self.assertIn(STATE, answer.stderr)
        self.assertNotIn("freeze", answer.stderr)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main(verbosity=2)
