"""Operations have an ID, a result that outlives them, and an end that can be asked for; a job of
another version is adopted in the middle of its dump, or left alone and shown."""
import json
import pathlib
import unittest

import lab
from lab import wait_until
from two_nodes import PodTest, a, b, carry, setUpModule, tearDownModule, unique  # noqa: F401

HERE = pathlib.Path(__file__).resolve().parent
CANCELLED, KNOWN, BUSY, NOT_FOUND = 12, 4, 9, 3


class OperationTest(PodTest):
    """What both halves need."""

    def run_memory_pod(self, name, mib=64):
        return self.run_pod(name, lab.container("count", "counter"),
                            lab.container("memory", f"memory_pages {mib}"))

    def operations(self, node=a, *options):
        listing = json.loads(node.ctl("--output", "json", "list", *options).stdout)
        return {operation["operation_id"]: operation for operation in listing["operations"]}

    def archives(self, node=a):
        listing = json.loads(node.ctl("--output", "json", "list").stdout)
        return {archive["name"] for archive in listing["archives"]}

    def check_counts(self, pod):
        self.assertEqual(pod.node.frozen_cgroups(), [])
        before = pod.report("count")["counter"]
        wait_until(lambda: pod.report("count")["counter"] > before, "the pod counts")

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

        first = json.loads(a.ctl("--output", "json", "checkpoint", pod.sandbox, *options).stdout)
        again = json.loads(a.ctl("--output", "json", "checkpoint", pod.sandbox, *options).stdout)
        waited = json.loads(a.ctl("--output", "json", "wait", operation).stdout)
        a.agent("restart")
        after_a_restart = json.loads(a.ctl("--output", "json", "wait", operation).stdout)

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
        self.assertNotIn(archive, self.archives())
        self.assertEqual(a.shell("ls /run/cryopod/jobs"), "")
        self.assertEqual(a.shell("pgrep -x criu; true"), "")
        self.assertEqual(self.operations(a, "--all")[operation]["state"], "cancelled")
        waited = a.ctl("--output", "json", "wait", operation, check=False)
        self.assertEqual(waited.returncode, CANCELLED)
        error = json.loads(waited.stderr)["error"]
        self.assertEqual((error["code"], error["operation_id"]), ("CANCELLED", operation))
        late = a.ctl("cancel", operation, check=False)
        self.assertIn("has ended", late.stderr)

    def test_a_failed_operation_tells_reason_and_logs_to_every_client(self):
        hold = ("exec 3>/tmp/ghost; dd if=/dev/zero bs=1M count=65 >&3 2>/dev/null;"
                "rm /tmp/ghost; while :; do sleep 1; done")
        pod = self.run_pod("ghost", lab.container("ghost", ["/bin/sh", "-c", hold],
                                                  image=lab.BUSYBOX_IMAGE))
        wait_until(lambda: pod.exec("ghost", "ls", "/tmp", check=False).stdout.strip() == "",
                   "the file is deleted")
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
        name = unique("kubelet")

        self.run_pod_from(archive, name)

        wait_until(lambda: self.operations(b) == {}, "its process has ended")
        ended = self.operation_of(name, "--all")
        self.assertEqual((ended["kind"], ended["archive"], ended["state"]),
                         ("restore", archive, "succeeded"))

    def test_a_restore_that_waits_for_a_better_archive_can_be_cancelled(self):
        pod = self.run_memory_pod("damaged")
        archive = self.checkpoint(pod)["archive"]
        carry(archive)
        # The largest blob: process memory. The documents stay readable.
        b.shell(f"cd /var/lib/cryopod/archives/{archive}/blobs/sha256; "
                "printf x | dd of=$(ls -S | head -1) bs=1 seek=5000 conv=notrunc 2>/dev/null")
        name = unique("damaged")
        with self.assertRaises(lab.CommandFailed):
            self.run_pod_from(archive, name)
        operation = self.operation_of(name)["operation_id"]

        self.assertEqual(b.ctl("cancel", operation).returncode, 0)

        self.assertEqual(self.operations(b), {})
        self.assertEqual(self.operation_of(name, "--all")["state"], "cancelled")

    def run_pod_from(self, archive, name):
        self.addCleanup(lambda: self.remove_pods(name))
        config = lab.pod(name, uid=unique("uid"),
                         annotations={"cryopod.dev/restore-from": archive})
        return b.run_pod(config, [lab.container("count", "counter"),
                                  lab.container("memory", "memory_pages 64")], handler="cryopod")

    def remove_pods(self, name):
        for sandbox in b.pods():
            if sandbox["name"] == name:
                lab.Pod(b, sandbox["id"], {}, lab.pod(name)).remove()

    def operation_of(self, name, *options):
        found = [operation for operation in self.operations(b, *options).values()
                 if operation["pod"] == f"default/{name}"]
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
        adopted = self.operations()[operation]
        self.go_on(left)
        result = json.loads(a.ctl("--output", "json", "wait", operation).stdout)

        self.assertEqual((adopted["state"], adopted["stage"]), ("running", "dump"))
        self.assertEqual(result["archive"], archive)
        a.ctl("verify", archive)
        self.check_counts(pod)
        self.assertEqual(a.shell("ls /run/cryopod/jobs"), "")
        carry(archive)
        moved = self.restore(archive)
        self.assertEqual(moved.verify("memory"), "ok")

    def test_a_job_of_this_version_goes_on_under_the_next_agent(self):
        self.check_goes_on("same")

    def test_a_job_of_a_newer_neighbour_goes_on_under_this_agent(self):
        self.check_goes_on("newer")

    def test_a_job_of_an_older_neighbour_goes_on_under_this_agent(self):
        self.check_goes_on("older")

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
        wait_until(lambda: archive in self.archives(), "the archive is committed", timeout_s=60)
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
    unittest.main()
