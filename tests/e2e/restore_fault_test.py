#!/usr/bin/python3
"""What is killed in the middle of a restore leaves nothing behind, and what is held is let go."""
import sys
import time
import unittest

import lab
from never_cold_again_test import AgainTest, kill_restore
from two_nodes import b, setUpModule, tearDownModule  # noqa: F401

# Until a container is let run whose keepers were killed.
RELEASE_TIMEOUT_S = 2


def kill_while_criu_restores(node, container, victim):
    """Starts a container, and kills `victim` when CRIU is at work for it. True when that came in time."""
    answer = node.shell(
        f"{lab.CRI_TOOL} start {container} >/dev/null 2>&1 </dev/null & "
        "for i in $(seq 1000); do"
        f"  if pgrep -x criu >/dev/null; then pkill -KILL -x {victim} && echo killed; exit; fi; done")
    return answer.strip() == "killed"


class KilledWrapperTest(AgainTest):
    """The runtime's shim kills the wrapper when a `create` takes too long."""

    def processes_of(self, container):
        return b.shell(f"cat $(find /sys/fs/cgroup -path '*{container}*' -name cgroup.procs)"
                       " 2>/dev/null || true").split()

    def test_nothing_of_its_restore_is_left_and_the_next_one_succeeds(self):
        self.pod.run_sandbox()
        self.wait_until_staged()
        self.pod.create()
        container = self.pod.made["one"][-1]

        self.assertTrue(kill_while_criu_restores(b, container, "cryopod-runtime"))

        lab.wait_until(lambda: not self.processes_of(container), "its processes are ended")
        lab.wait_until(lambda: not b.shell("pgrep -x criu || true"), "CRIU is ended")
        lab.wait_until(lambda: "criu-root" not in b.read("/proc/mounts"), "its mounts are gone")
        self.pod.restart()

        self.assert_restored()


class HeldTest(AgainTest):
    """The first container of two is started, and held for the second."""
    CONTAINERS = ("one", "two")

    def setUp(self):
        super().setUp()
        self.pod.run_sandbox()
        self.pod.restart("one")

    def state(self, name="one"):
        pid = self.pod.pod().pid(name)
        return b.shell(f"sed -n 's/^State:.//p' /proc/{pid}/status")[:1]

    def test_the_second_container_lets_both_run(self):
        self.assertEqual(self.state(), "T")

        self.pod.restart("two")

        self.assertNotEqual(self.state("one"), "T")
        self.assertNotEqual(self.state("two"), "T")
        for name in self.CONTAINERS:
            self.assert_restored(name)

    def test_without_the_second_it_runs_after_a_short_while(self):
        lab.wait_until(lambda: self.state() != "T", "it runs", RELEASE_TIMEOUT_S)

        self.assert_restored()

    def test_an_exec_lets_it_run_though_its_keepers_are_gone(self):
        b.agent("kill")
        self.addCleanup(b.agent, "restart")
        b.shell("pkill -KILL -x cryopod-restore || true")

        began = time.monotonic()
        self.pod.pod().exec("one", "/bin/true")

        self.assertLess(time.monotonic() - began, RELEASE_TIMEOUT_S)
        self.assert_restored()

    def test_a_killed_restore_process_does_not_leave_it_standing(self):
        kill_restore(b)

        lab.wait_until(lambda: self.state() != "T", "it runs", RELEASE_TIMEOUT_S)

        self.assert_restored()
        self.pod.restart("two")
        self.assert_restored("two")

    def test_a_killed_restore_process_and_agent_do_not_leave_it_standing_after_the_next_start(self):
        b.agent("kill")
        b.shell("pkill -KILL -x cryopod-restore || true")

        b.agent("start")
        lab.wait_until(lambda: self.state() != "T", "it runs", RELEASE_TIMEOUT_S)

        self.assert_restored()
        self.pod.restart("two")
        self.assert_restored("two")


if __name__ == "__main__":
    sys.exit(unittest.main())
