#!/usr/bin/python3
"""A source that is to stop ends at the cut: nothing of it runs on, and nothing of it is left."""
import pathlib
import unittest

import lab
from two_nodes import (PodTest, a, b, carry, request_for, setUpModule, tearDownModule,  # noqa: F401
                       unique)


class StopSourceTest(PodTest):
    def make_witness(self, node):
        """A container `one` that leaves traces in a new folder of the node: (folder, container)."""
        folder = f"/root/{unique('traces')}"
        node.exec("mkdir", "-p", folder)
        return folder, lab.container("one", "signal_witness /traces/sigterm_seen",
                                     mounts=[(folder, "/traces")])

    def run_witness(self, *others):
        self.others = others
        folder, witness = self.make_witness(a)
        return self.run_pod("stopped", witness, *others), folder

    def restore_with_folder(self, archive):
        """The mount's folder is the new node's: only a request of its own may name it."""
        carry(archive)
        folder, witness = self.make_witness(b)
        request = request_for(lab.pod(unique("restored")), [witness, *self.others])
        return self.restore(archive, request=request), folder

    def beats(self, node, folder):
        return [int(line) for line in node.read(f"{folder}/sigterm_seen.alive").split()]

    def test_the_source_is_gone_and_its_handler_never_ran(self):
        pod, folder = self.run_witness()

        answer = self.checkpoint(pod, "--stop")

        self.assertTrue(answer["source_stopped"])
        self.assertNotIn(pod.sandbox, a.sandboxes())
        self.assertEqual(a.shell(f"ls {folder}").split(), ["sigterm_seen.alive"])
        self.assertEqual(a.shell("pgrep -x signal_witness || true"), "")
        self.assertEqual(a.frozen_cgroups(), [])

    def test_the_restored_handler_would_have_run(self):
        # Else the test above would prove nothing.
        pod, _ = self.run_witness()
        archive = self.checkpoint(pod, "--stop")["archive"]

        restored, folder = self.restore_with_folder(archive)
        self.assert_ok(restored)
        b.exec("kill", "-TERM", str(restored.pid("one")))

        lab.wait_until(lambda: restored.verify("one") == "bad: SIGTERM was seen", "SIGTERM is seen")
        self.assertEqual(b.read(f"{folder}/sigterm_seen"), "SIGTERM seen\n")

    def test_nothing_of_the_source_ran_past_the_cut(self):
        # 64 MiB beside it, so that seconds lie between the cut and the end of the source.
        pod, folder = self.run_witness(lab.container("two", "memory_load 64"))
        archive = self.checkpoint(pod, "--stop")["archive"]

        restored, new_folder = self.restore_with_folder(archive)

        lab.wait_until(lambda: self.beats(b, new_folder), "the restored witness leaves traces")
        last_of_source = self.beats(a, folder)[-1]
        first_of_restored = self.beats(b, new_folder)[0]
        # The beat in whose write the cut lay may be made by both.
        self.assertGreaterEqual(first_of_restored, last_of_source)
        self.assertLessEqual(first_of_restored, last_of_source + 1)
        self.assert_ok(restored)

    def test_a_source_that_is_left_running_does_run_past_the_cut(self):
        # Else the test above would prove nothing.
        pod, folder = self.run_witness()
        archive = self.checkpoint(pod)["archive"]

        _, new_folder = self.restore_with_folder(archive)

        lab.wait_until(lambda: self.beats(b, new_folder), "the restored witness leaves traces")
        self.assertGreater(self.beats(a, folder)[-1], self.beats(b, new_folder)[0] + 1)

    def test_a_container_that_cannot_end_keeps_no_other_one_alive(self):
        # Its file's server never answers the last call: killed, it waits in the kernel.
        server, folder = f"/root/{unique('deaf')}.py", f"/root/{unique('deaf')}"
        a.write(server, pathlib.Path(__file__).with_name("deaf_server.py").read_text())
        a.shell(f"python3 {server} {folder} '/run/cryopod/jobs/*/stopping.json' >/tmp/deaf.log 2>&1 & "
                f"echo $! >{folder}.pid; until grep -q {folder} /proc/mounts; do sleep 0.1; done")
        self.addCleanup(a.shell, f"kill -KILL $(cat {folder}.pid); umount -l {folder}; true")
        holds = lab.container("holds", ["/bin/sh", "-c", "exec 3</deaf/held; exec tail -f /dev/null"],
                              mounts=[(folder, "/deaf")])
        traces, witness = self.make_witness(a)
        pod = self.run_pod("deaf", holds, witness)
        seen = f"{folder}.seen"
        a.shell(f"(until grep -q '\"stop\"' /run/cryopod/jobs/*/events; do :; done; sleep 5; "
                f"pgrep -x tail >{seen}; pgrep -x signal_witness >>{seen}; kill -KILL $(cat {folder}.pid)) "
                f">/dev/null 2>&1 & true")

        answer = self.checkpoint(pod, "--stop")

        self.assertEqual(len(a.read(seen).split()), 1, "of both only that which could not end was there")
        self.assertTrue(answer["source_stopped"])
        self.assertEqual(a.shell(f"ls {traces}").split(), ["sigterm_seen.alive"])
        self.assertNotIn(pod.sandbox, a.sandboxes())
        self.assertEqual(a.frozen_cgroups(), [])

    def test_a_source_whose_archive_name_is_taken_runs_on(self):
        pod, folder = self.run_witness()
        taken = self.checkpoint(pod)["archive"]

        result = a.ctl("checkpoint", pod.sandbox, "--archive", taken, "--stop", check=False)

        self.assertEqual(result.returncode, 4, result.stderr)
        beats = self.beats(a, folder)[-1]
        lab.wait_until(lambda: self.beats(a, folder)[-1] > beats + 5, "the source runs on")
        self.assert_ok(pod)


if __name__ == "__main__":
    unittest.main(verbosity=2)
