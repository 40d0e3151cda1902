#!/usr/bin/python3
"""What is killed in the middle of a restore leaves nothing behind, and what is held is let go."""
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

    def run_one(self):
        self.pod.run_sandbox()
        self.pod.restart("one")

    def hold_one(self):
        """For so long that it is not the hold's end that lets it run."""
        self.configure_agent(b, "[agent]\nrestore_hold = 60000\n")
        self.run_one()
        self.assertTrue(self.is_held())

    def is_held(self, name="one"):
        return self.pod.pod().is_held(name)

    def test_the_second_container_lets_both_run(self):
        self.hold_one()

        self.pod.restart("two")

        self.assertFalse(self.is_held("one"))
        self.assertFalse(self.is_held("two"))
        self.assert_restored()

    def check_it_runs_soon_and_the_second_is_restored_too(self):
        lab.wait_until(lambda: not self.is_held(), "it runs", RELEASE_TIMEOUT_S)

        self.assert_restored("one")
        self.pod.restart("two")
        self.assert_restored("two")

    def test_without_the_second_it_runs_after_a_short_while(self):
        self.run_one()

        self.check_it_runs_soon_and_the_second_is_restored_too()

    def test_an_exec_lets_it_run_though_its_keepers_are_gone(self):
        self.hold_one()
        self.kill_agent(b)
        kill_restore(b)
        self.assertTrue(self.is_held())

        self.pod.pod().exec("one", "/bin/true")

        self.assertFalse(self.is_held())
        self.assert_restored("one")

    def test_a_killed_restore_process_does_not_leave_it_standing(self):
        self.hold_one()

        kill_restore(b)

        self.check_it_runs_soon_and_the_second_is_restored_too()

    def test_a_killed_restore_process_and_agent_do_not_leave_it_standing_after_the_next_start(self):
        self.hold_one()
        b.agent("kill")
        kill_restore(b)

        b.agent("start")

        self.check_it_runs_soon_and_the_second_is_restored_too()


class RestoreCallTest(AgainTest):
    """`cryopodctl restore` and an agent that ends in the middle of it."""
    CONTAINERS = ("one", "two")
    OUTPUT = "/root/restore-call"
    STAGES = ("sandbox", "restore two", "verify") if lab.SHORT else \
        ("open", "sandbox", "create one", "create two", "restore one", "restore two", "verify")

    def setUp(self):
        super().setUp()
        b.agent("restart")
        self.addCleanup(lambda: [self.remove(entry) for entry in self.pods()])

    def pods(self):
        """Of the name that the archive holds, which none but these restores have."""
        name = self.source.config["metadata"]["name"]
        return [entry for entry in b.pods() if entry["name"] == name]

    def remove(self, entry):
        for call in ("stopp", "rmp"):
            b.exec(lab.CRI_TOOL, call, entry["id"], check=False)

    def begin(self):
        b.shell(f"rm -f {self.OUTPUT}; {lab.CTL} restore {self.archive.name} "
                f"--request-from-archive >{self.OUTPUT} 2>&1 </dev/null &")

    def kill_agent_at(self, stage):
        """True when that came in time."""
        self.begin()
        answer = b.shell(
            "agent=$(pgrep -x cryopod-agent); for i in $(seq 5000); do "
            f"if grep -q ': {stage}$' {self.OUTPUT} 2>/dev/null; then kill -KILL $agent; "
            "echo killed; exit; fi; sleep 0.002; done")
        return answer.strip() == "killed"

    def wait_until_settled(self):
        lab.wait_until(lambda: not b.shell("ls -d /run/cryopod/jobs/p-* 2>/dev/null || true"),
                       "no restore stands in the journal", timeout_s=30)

    def is_whole(self, entry):
        return entry["state"] == "ready" and \
            sorted(c["name"] for c in entry["containers"] if c["state"] == "running") == \
            sorted(self.CONTAINERS)

    def test_an_agent_killed_at_any_stage_leaves_a_whole_pod_or_none_after_the_next_start(self):
        bystander = self.restore(self.archive.name)
        for stage in self.STAGES:
            with self.subTest(stage=stage):
                self.assertTrue(self.kill_agent_at(stage))

                b.agent("start")
                self.wait_until_settled()

                left = [entry for entry in self.pods() if entry["id"] != bystander.sandbox]
                self.assertLess(len(left), 2)
                for entry in left:
                    self.assertTrue(self.is_whole(entry), entry)
                    pod = lab.Pod(b, entry["id"], {c["name"]: c["id"] for c in entry["containers"]},
                                  {})
                    for name in self.CONTAINERS:
                        pod.wait_for(name)
                    self.assert_all_went_on(self.before, pod)
                    self.remove(entry)
                self.assertNotIn("criu-root", b.read("/proc/mounts"))
        self.assert_all_went_on(self.before, bystander)

    def stop_restore_process(self):
        """SIGSTOP to the next cryopod-restore that appears."""
        before = b.shell("pgrep -x cryopod-restore || true").split()
        self.begin()

        def appeared():
            return set(b.shell("pgrep -x cryopod-restore || true").split()) - set(before)
        pid = lab.wait_until(appeared, "cryopod-restore runs", interval_s=0.005).pop()
        b.exec("kill", "-STOP", pid)
        self.addCleanup(b.exec, "kill", "-KILL", pid, check=False)

    def test_a_restore_that_is_stuck_keeps_no_other_one_and_no_stop_of_the_agent_waiting(self):
        self.stop_restore_process()

        self.pod.run()
        self.assert_restored()
        began = time.monotonic()
        b.agent("stop")

        # The agent gives itself 4 s.
        self.assertLess(time.monotonic() - began, 10)
        b.shell("for pid in $(pgrep -x cryopod-restore); do "
                "case $(cut -d' ' -f3 /proc/$pid/stat) in T) kill -KILL $pid;; esac; done")
        b.agent("start")
        self.wait_until_settled()
        self.assertEqual([entry for entry in self.pods() if not self.is_whole(entry)], [])
        self.assert_restored()


if __name__ == "__main__":
    unittest.main(verbosity=2)
