#!/usr/bin/python3
"""What could not be restored is not checkpointed in silence; many and sparse files come back right."""
import unittest

import lab
from two_nodes import PodTest, a, setUpModule, tearDownModule  # noqa: F401
from workloads_survive_criu_test import StockContainer

REFUSED = 5
# Each with the words of the refusal that name the object and the remedy.
STATES = {
    "timer_to_first_thread": ("timer_create, number 0", "first thread", "delete it"),
    "thread_file": ("/stat open (descriptor ", "a file of a thread", "close it"),
    "orphan_of_subreaper": (" in session ", "a child subreaper", "end it"),
    "zombie_of_subreaper": ("has ended unnoticed", "a child subreaper", "wait for it"),
    "pipes:1025": ("1025 pipes", "1024", "close some"),
}
STATES_BESIDE_THEM = ("timer_to_process", "timer_to_other_thread", "process_file",
                      "ended_process_file", "orphan_of_init", "child_older_than_session",
                      "pipes:1020", "fifos:1020")
MIB = 1 << 20


class RefusedStatesTest(PodTest):
    def test_a_state_that_does_not_come_back_is_refused_before_anything_is_frozen(self):
        pods = {state: self.run_pod("state", lab.container("one", ["process_states", state]))
                for state in STATES}
        for state, words in STATES.items():
            with self.subTest(state):
                answer = a.ctl("checkpoint", pods[state].sandbox, check=False)

                self.assertEqual(answer.returncode, REFUSED, answer.stderr)
                for word in ("container one", *words):
                    self.assertIn(word, answer.stderr)
                # What CRIU itself says of it would be told with its name.
                self.assertNotIn("CRIU:", answer.stderr)
                self.assertEqual(a.frozen_cgroups(), [])
                self.assert_ok(pods[state])

    def test_states_beside_them_are_moved(self):
        pod = self.run_pod("beside", lab.container("one", ["process_states", *STATES_BESIDE_THEM]))

        self.move(pod)


class StockRuntimeTest(unittest.TestCase):
    """The refusals are no more than what CRIU cannot do, and no less."""

    def hold(self, name, *states):
        a.shell("ip netns add pod 2>/dev/null && ip -n pod link set lo up; true")
        container = StockContainer(a, name, " ".join(["process_states", *states]))
        self.addCleanup(a.exec, container.runtime, "delete", "--force", name, check=False)
        self.assertEqual(container.ask("verify"), "ok")
        return container

    def test_a_state_that_is_refused_does_not_come_back(self):
        for number, state in enumerate(STATES):
            container = self.hold(f"refused{number}", state)
            with self.subTest(state), self.assertRaises(lab.CommandFailed):
                container.checkpoint()
                container.restore()

    def test_states_beside_them_come_back(self):
        container = self.hold("beside", *STATES_BESIDE_THEM)
        container.checkpoint()

        container.restore()

        self.assertEqual(container.ask("verify"), "ok")


class FilesTest(PodTest):
    def run_shell(self, script):
        pod = self.run_pod("files", lab.container(
            "one", ["sh", "-c", "while :; do sleep 1; done"], image=lab.BUSYBOX_IMAGE))
        pod.exec("one", "sh", "-c", script)
        return pod

    def test_50000_small_files_are_moved(self):
        pod = self.run_shell("mkdir /many && cd /many && i=0; while [ $i -lt 50000 ]; do"
                             " echo $i >file$i; i=$((i + 1)); done")
        look = ("one", "sh", "-c", "ls /many | wc -l; cd /many && ls | xargs cat | md5sum")
        before = pod.exec(*look).stdout
        self.assertTrue(before.startswith("50000\n"), before)

        restored = self.move(pod)

        self.assertEqual(restored.exec(*look).stdout, before)

    def test_a_sparse_file_comes_back_sparse(self):
        pod = self.run_shell("dd if=/dev/zero of=/sparse bs=1 count=0 seek=2147483648 2>/dev/null;"
                             "echo start | dd of=/sparse conv=notrunc 2>/dev/null;"
                             "echo middle | dd of=/sparse bs=1M seek=1024 conv=notrunc 2>/dev/null")
        self.assertEqual(self.look_at_sparse(pod), "2147483648 start middle")

        restored = self.move(pod)

        self.assertEqual(self.look_at_sparse(restored), "2147483648 start middle")
        taken = int(restored.exec("one", "stat", "-c", "%b", "/sparse").stdout) * 512
        self.assertLess(taken, MIB)
        self.assertGreater(taken, 0)

    def look_at_sparse(self, pod):
        script = ("stat -c %s /sparse; head -c 5 /sparse; echo;"
                  "dd if=/sparse bs=1M skip=1024 count=1 2>/dev/null | head -n 1")
        return " ".join(pod.exec("one", "sh", "-c", script).stdout.split())


if __name__ == "__main__":
    unittest.main(verbosity=2)
