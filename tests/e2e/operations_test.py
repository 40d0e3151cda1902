"""Operations have an ID, a result that outlives them, and an end that can be asked for; a job of
another version is adopted in the middle of its dump, or left alone and shown."""
import json
import pathlib
import unittest

import lab
from bare_pod import BarePod
from lab import wait_until
from layout import CRIU_IMAGES, Layout
from two_nodes import PodTest, a, b, carry, setUpModule, tearDownModule, unique  # noqa: F401

HERE = pathlib.Path(__file__).resolve().parent
CANCELLED, KNOWN, BUSY, NOT_FOUND, LATE = 12, 4, 9, 3, 10


class OperationTest(PodTest):
    """What both halves need."""

    def run_memory_pod(self, name, mib=64):
        return self.run_pod(name, lab.container("count", "counter"),
                            lab.container("memory", f"memory_load {mib}"))

    def operations(self, node=a, *options):
        return {operation["operation_id"]: operation
                for operation in node.ctl_json("list", *options)["operations"]}

    def check_counts(self, pod):
        self.assertEqual(pod.node.frozen_cgroups(), [])
        pod.wait_until_it_counts()

    def begin(self, pod, *options):
        """A checkpoint that goes on in the background of the node, in its dump for some seconds."""
        operation = unique("op")
        a.shell(f"{lab.CTL} checkpoint {pod.sandbox} --operation {operation} {' '.join(options)} "
                f">/tmp/{operation} 2>&1 & true")
        return operation


class OperationsTest(OperationTest):
    def test_a_retry_with_the_id_of_an_operation_finds_the_first_and_its_result(self):
        pod = self.run_memory_pod("retry")
        operation, archive = unique("op"), unique("retry")
        options = ("--operation", operation, "--archive", archive)

        first, again = (a.ctl_json("checkpoint", pod.sandbox, *options) for _ in range(2))
        waited = a.ctl_json("wait", operation)
        a.agent("restart")
        after_a_restart = a.ctl_json("wait", operation)

        self.assertEqual(first["archive"], archive)
        for answer in (again, waited, after_a_restart):
            self.assertEqual(answer, first)
        self.assertEqual(self.operations(a, "--all")[operation]["state"], "succeeded")
        other = a.ctl("checkpoint", pod.sandbox, "--operation", operation, "--archive",
                      unique("other"), check=False)
        self.assertEqual(other.returncode, KNOWN, other.stderr)
        self.assertIn(operation, other.stderr)

    def test_a_checkpoint_that_is_cancelled_leaves_the_pod_running_and_nothing_else(self):
        pod = self.run_memory_pod("cancel", mib=512)
        archive = unique("cancel")
        operation = self.begin(pod, "--archive", archive)
        wait_until(lambda: self.operations().get(operation, {}).get("stage") in
                   ("freeze", "dump", "thaw", "archive"), "it works", interval_s=0.01)

        answer = a.ctl("cancel", operation)

        self.assertIn("cancelled", answer.stdout)
        self.check_counts(pod)
        self.assertEqual(pod.verify("memory"), "ok")
        self.assertNotIn(archive, a.archives())
        self.assertEqual(a.shell("ls /run/cryopod/jobs"), "")
        self.assertEqual(a.shell("pgrep -x criu; true"), "")
        self.assertEqual(self.operations(a, "--all")[operation]["state"], "cancelled")
        waited = a.ctl("--output", "json", "wait", operation, check=False)
        self.assertEqual(waited.returncode, CANCELLED)
        error = json.loads(waited.stderr)["error"]
        self.assertEqual((error["code"], error["operation_id"]), ("CANCELLED", operation))
        late = a.ctl("cancel", operation, check=False)
        self.assertIn("has ended", late.stderr)

    def test_a_criu_that_does_not_let_go_in_time_is_never_killed_and_the_pod_is_looked_after(self):
        pod = self.run_memory_pod("holds", mib=512)
        archive = unique("holds")
        # As on a disk that answers no more: it stands still in the middle of its dump.
        a.shell(f"(until grep -q dump /run/cryopod/jobs/*/events; do :; done; pkill -STOP -x criu) "
                f">/dev/null 2>&1 & true")
        operation = self.begin(pod, "--archive", archive, "--timeout", "4")
        self.addCleanup(a.exec, "pkill", "-CONT", "-x", "criu", check=False)

        wait_until(lambda: self.operations().get(operation, {}).get("stage") == "release",
                   "it is given up and looked after", timeout_s=60)
        self.assertIn("T", a.shell("ps -o stat= -C criu"), "it was not killed inside its dump")
        self.assertEqual(self.operations()[operation]["state"], "running")
        a.agent("kill")
        a.agent("restart")
        self.assertIn("T", a.shell("ps -o stat= -C criu"), "nor by the next agent")
        a.exec("pkill", "-CONT", "-x", "criu")

        waited = a.ctl("wait", operation, check=False)
        self.assertEqual(waited.returncode, LATE, waited.stderr)
        self.check_counts(pod)
        self.assertEqual(pod.verify("memory"), "ok")
        self.assertNotIn(archive, a.archives())
        self.assertEqual(a.shell("pgrep -x criu; ls /run/cryopod/jobs"), "")

    def test_a_failed_operation_tells_reason_and_logs_to_every_client(self):
        pod = self.run_ghost()
        operation = unique("op")

        failed = a.ctl("--output", "json", "checkpoint", pod.sandbox, "--operation", operation,
                       check=False)

        error = json.loads(failed.stderr)["error"]
        self.assertEqual(error["operation_id"], operation)
        self.assertEqual(error["log_folder"], f"/var/lib/cryopod/logs/{operation}")
        self.assertEqual(self.operations(a, "--all")[operation]["reason"], error["reason"])
        logs = a.ctl("logs", operation).stdout
        self.assertTrue(logs.startswith("==> ghost.dump.log <==\n"), logs[:200])
        self.assertIn("Dumping FAILED", logs)
        told = a.ctl("checkpoint", pod.sandbox, "--operation", unique("op"), check=False).stderr
        self.assertIn("cryopodctl logs op-", told)

    def test_what_is_not_known_is_not_found_by_any_verb(self):
        for verb in ("wait", "cancel", "logs"):
            answer = a.ctl(verb, "op-nobody", check=False)
            self.assertEqual(answer.returncode, NOT_FOUND, answer.stderr)
            self.assertIn("op-nobody", answer.stderr)

    def test_a_restore_that_the_runtime_asks_for_is_an_operation_like_any_other(self):
        pod = self.run_memory_pod("kubelet")
        archive = self.checkpoint(pod)["archive"]
        carry(archive)
        restored = self.bare_pod(archive)

        restored.run()

        wait_until(lambda: self.operations(b) == {}, "its process has ended")
        ended = self.operation_of(restored, "--all")
        self.assertEqual((ended["kind"], ended["archive"], ended["state"]),
                         ("restore", archive, "succeeded"))

    def test_a_restore_that_waits_for_its_next_container_can_be_cancelled(self):
        archive = self.checkpoint(self.run_memory_pod("waits"))["archive"]
        carry(archive)
        restored = self.bare_pod(archive)
        restored.run_sandbox()
        restored.create("count")
        operation = self.operation_of(restored)["operation_id"]

        self.assertEqual(b.ctl("cancel", operation).returncode, 0)

        self.assertEqual(self.operations(b), {})
        self.assertEqual(self.operation_of(restored, "--all")["state"], "cancelled")

    def test_a_restore_whose_archive_is_damaged_has_failed_each_time_that_it_is_asked(self):
        archive = self.checkpoint(self.run_memory_pod("damaged"))["archive"]
        carry(archive)
        layout = Layout(b, archive)
        layout.flip_a_bit(layout.blob(CRIU_IMAGES))
        refused = self.bare_pod(archive)

        refused.refusals()

        wait_until(lambda: self.operations(b) == {}, "nothing waits for it")
        states = [operation["state"] for operation in self.operations(b, "--all").values()
                  if operation["pod"] == f"default/{refused.name}"]
        self.assertEqual(set(states), {"failed"})

    def bare_pod(self, archive):
        pod = BarePod(b, archive, lab.container("count", "counter"),
                      lab.container("memory", "memory_load 64"))
        self.addCleanup(pod.end)
        return pod

    def operation_of(self, pod, *options):
        found = [operation for operation in self.operations(b, *options).values()
                 if operation["pod"] == f"default/{pod.name}"]
        self.assertEqual(len(found), 1, found)
        return found[0]


class JobOfAnotherVersionTest(OperationTest):
    def setUp(self):
        a.exec("mkdir", "-p", "/root/stored_job")
        for path in (HERE / "stored_job").iterdir():
            a.write(f"/root/stored_job/{path.name}", path.read_text())
        a.write("/root/job_of_another_version.py",
                (HERE / "job_of_another_version.py").read_text())

    def kill_in_mid_dump(self, pod, archive, version):
        operation = unique("op")
        answer = a.exec("python3", "/root/job_of_another_version.py", pod.sandbox, archive,
                        operation, version, timeout_s=120)
        return operation, json.loads(answer.stdout)

    def go_on(self, left):
        a.shell(f"kill -CONT {' '.join(map(str, left['criu']))}")

    def check_goes_on(self, version):
        pod = self.run_memory_pod(version)
        archive = unique(version)
        operation, left = self.kill_in_mid_dump(pod, archive, version)

        a.agent("start")
        # It reads what the job has said before it.
        wait_until(lambda: self.operations()[operation]["stage"] == "dump", "the next agent knows the stage")
        self.assertEqual(self.operations()[operation]["state"], "running")
        self.go_on(left)
        result = a.ctl_json("wait", operation)

        self.assertEqual(result["archive"], archive)
        a.ctl("verify", archive)
        self.check_counts(pod)
        self.assertEqual(a.shell("ls /run/cryopod/jobs"), "")
        carry(archive)
        moved = self.restore(archive)
        self.assertEqual(moved.verify("memory"), "ok")

    def test_a_job_of_this_version_or_a_neighbours_goes_on_under_the_next_agent(self):
        for version in ("same", "newer", "older"):
            with self.subTest(version):
                self.check_goes_on(version)

    def test_a_job_without_a_format_is_left_alone_with_its_criu_and_guard_and_shown(self):
        pod = self.run_memory_pod("foreign")
        archive = unique("foreign")
        operation, left = self.kill_in_mid_dump(pod, archive, "foreign")
        before = a.shell(f"cd /run/cryopod/jobs/{operation}; cat *.json; ls")
        guard = a.shell("pgrep -x cryopod-guard").split()

        a.agent("start")

        self.assertEqual(self.operations()[operation]["state"], "foreign")
        self.assertIn("not understood", a.ctl("list").stdout)
        self.assertIn("cryopod_jobs_not_understood 1\n", a.ctl("metrics").stdout)
        self.assertEqual(a.shell(f"cd /run/cryopod/jobs/{operation}; cat *.json; ls"), before)
        for pid in [*left["criu"], left["process"], *guard]:
            self.assertIn("State", a.read(f"/proc/{pid}/status"))
        for verb in ("wait", "cancel"):
            self.assertIn("format", a.ctl(verb, operation, check=False).stderr)
        # Its own program ends it, as if nobody had come in between.
        self.go_on(left)
        wait_until(lambda: archive in a.archives(), "the archive is committed", timeout_s=60)
        wait_until(lambda: a.shell(f"cat /proc/{left['process']}/comm 2>/dev/null; true") == "",
                   "its process has ended")
        self.check_counts(pod)
        a.ctl("verify", archive)
        self.assertEqual(self.operations()[operation]["state"], "foreign")
        a.shell(f"umount /run/cryopod/jobs/{operation}/staging 2>/dev/null; "
                f"rm -r /run/cryopod/jobs/{operation}")
        a.agent("restart")
        self.assertEqual(self.operations(), {})


if __name__ == "__main__":
    unittest.main(verbosity=2)
