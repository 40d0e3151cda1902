#!/usr/bin/python3
"""Nothing that a checkpoint or a restore starts is a way out of the pod, not even for a container with
CAP_SYS_PTRACE, which may look into and trace every process that it sees.

tests/workloads/intruder looks: for a file of the node, through the roots and descriptors of processes, and
for a word of that file in their memory.
"""
import secrets
import unittest

import lab
from two_nodes import PodTest, a, b, carry, setUpModule, tearDownModule, unique  # noqa: F401

ROUNDS = lab.times(short=8, long=100)
CAPABILITIES = ["SYS_PTRACE", "DAC_OVERRIDE", "NET_ADMIN"]


class EscapeTest(PodTest):
    def setUp(self):
        self.word = secrets.token_hex(12)
        self.marker = f"/root/{unique('marker')}"
        for node in (a, b):
            node.write(self.marker, "x" + self.word)
            self.addCleanup(node.exec, "rm", "-f", self.marker)

    def intruder(self):
        return lab.container("intruder", ["intruder", self.marker, self.word],
                             capabilities=CAPABILITIES)

    def run_intruder(self, shared_pid):
        # What is started before the intruder is what it knows.
        return self.run_pod("intruder", lab.container("count", "counter"), self.intruder(),
                            shared_pid=shared_pid)

    def checkpoint_as(self, pod, number):
        """The archive; None when the intruder had something in its hands that cannot be dumped, or
        held the process that it had found."""
        archive = unique("escape")
        # The process of the checkpoint knows the word, and so would a copy of its memory.
        answer = a.ctl("checkpoint", pod.sandbox, "--archive", archive,
                       "--operation", f"x{self.word}-{number}", check=False)
        if answer.returncode != 0:
            print(f"not taken: {answer.stderr.strip()}", flush=True)
            return None
        return archive

    def comes_back(self, archive):
        """Whether it was restored: not when the intruder was reading of a process that has ended."""
        try:
            restored = self.restore(archive)
        except lab.CommandFailed as refused:
            if "Can't open file proc/" not in str(refused):
                raise
            print(f"not restored: {str(refused).splitlines()[-1]}", flush=True)
            return False
        self.assert_ok(restored)
        restored.remove()
        return True

    def look_for_a_way_out(self, shared_pid, rounds):
        pod = self.run_intruder(shared_pid)
        taken = tries = 0
        try:
            while taken < rounds and tries < 4 * rounds:
                tries += 1
                archive = self.checkpoint_as(pod, tries)
                if archive is None:
                    continue
                carry(archive)
                taken += self.comes_back(archive)
                for node in (a, b):
                    node.ctl("delete", archive)
        finally:
            report = pod.report("intruder")
            print(f"shared PIDs {shared_pid}: {taken} checkpoints of {tries} taken and restored; {report}",
                  flush=True)
        self.assertEqual(taken, rounds)
        self.assert_ok(pod)
        # One for every freeze, else nothing is shown.
        self.assertGreaterEqual(report["ours"], rounds)
        for use in ("ours_read", "ours_taken_from", "ours_traced"):
            self.assertGreater(report[use], 0, use)

    def test_no_way_leads_out_through_what_is_in_a_containers_pid_namespace(self):
        self.look_for_a_way_out(False, (ROUNDS + 1) // 2)

    def test_no_way_leads_out_through_what_is_in_a_shared_pid_namespace(self):
        self.look_for_a_way_out(True, ROUNDS // 2)

    def test_nobody_who_may_trace_runs_while_another_container_is_restored_beside_it(self):
        pod = self.run_pod("watcher", self.intruder(), lab.container("count", "counter"), shared_pid=True)
        archive = self.checkpoint_as(pod, 1) or self.checkpoint_as(pod, 2)
        carry(archive)
        # The first container runs as soon as it is restored.
        self.configure_agent(b, "[agent]\nrestore_hold = 0\n")

        refused = b.ctl("restore", archive, "--request-from-archive", check=False)

        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("(intruder)", refused.stderr)
        self.assertIn("CAP_SYS_PTRACE", refused.stderr)

    def test_the_intruder_finds_the_node_through_a_process_that_is_not_confined(self):
        pod = self.run_intruder(False)

        a.exec("nsenter", "--target", str(pod.pid("intruder")), "--pid", "--", "sleep", "1")

        self.assertIn("shows the node", pod.verify("intruder"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
