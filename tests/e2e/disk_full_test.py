"""A disk that fills up while the archive is written: the source runs on, also one that was to be
stopped and is held frozen by then, and nothing is left."""
import unittest

import lab
from lab import wait_until
from two_nodes import PodTest, a, setUpModule, tearDownModule  # noqa: F401

STATE = "/srv/small"
RUN = "/run/small"
SOCKET = f"{RUN}/agent.sock"
NO_SPACE = 8
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
        wait_until(lambda: a.exec("test", "-S", SOCKET, check=False).returncode == 0,
                   "the second agent listens")
        self.pod = self.run_pod("full", lab.container("count", "counter"),
                                lab.container("memory", "memory_load 256"))

    def tearDown(self):
        a.shell("kill $(cat /run/small.pid); while kill -0 $(cat /run/small.pid); do sleep 0.05; done"
                " 2>/dev/null; true")
        a.shell(f"umount {STATE}; true")

    def check_a_disk_that_fills_up(self, *options):
        script = f"({FILL}) & filler=$!; {lab.CTL} --socket {SOCKET} checkpoint " \
                 f"{self.pod.sandbox} {' '.join(options)}; code=$?; " \
                 f"wait $filler; rm -f {STATE}/filler; exit $code"
        answer = a.exec("sh", "-c", script, check=False, timeout_s=120)
        self.assertEqual(answer.returncode, NO_SPACE, answer.stdout + answer.stderr)
        self.assertIn("No space left", answer.stderr)
        self.check_store_is_empty()
        self.assertEqual(a.shell(f"ls {RUN}/jobs"), "")
        self.assertEqual(a.frozen_cgroups(), [])
        self.pod.wait_until_it_counts()
        self.assertEqual(self.pod.verify("memory"), "ok")

    def check_store_is_empty(self):
        left = a.shell(f"ls -A {STATE}/archives {STATE}/archives/.partial 2>/dev/null | grep -v :; true")
        self.assertEqual(set(left.split()) - {".partial"}, set())

    def test_the_source_runs_on(self):
        self.check_a_disk_that_fills_up()

    def test_a_source_that_was_to_be_stopped_runs_on(self):
        self.check_a_disk_that_fills_up("--stop")

    def test_too_little_space_is_refused_before_anything_is_frozen(self):
        a.shell(f"dd if=/dev/zero of={STATE}/filler bs=1M count=200 2>/dev/null")

        answer = a.ctl("--socket", SOCKET, "checkpoint", self.pod.sandbox, check=False)

        self.assertEqual(answer.returncode, NO_SPACE, answer.stderr)
        for word in (STATE, "MiB"):
            self.assertIn(word, answer.stderr)
        self.assertNotIn("freeze", answer.stderr)
        self.check_store_is_empty()
        self.assert_ok(self.pod)

    def test_an_import_that_does_not_fit(self):
        archive = self.checkpoint(self.pod)["archive"]
        file = f"/root/{archive}.tar"
        a.ctl("export", archive, "--file", file)
        self.addCleanup(a.exec, "rm", "-f", file)
        a.shell(f"dd if=/dev/zero of={STATE}/filler bs=1M count=250 2>/dev/null")

        answer = a.ctl("--socket", SOCKET, "import", file, check=False)

        self.assertEqual(answer.returncode, NO_SPACE, answer.stderr)
        self.assertIn(file, answer.stderr)
        self.check_store_is_empty()


if __name__ == "__main__":
    unittest.main(verbosity=2)
