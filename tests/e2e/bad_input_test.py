#!/usr/bin/python3
"""What cryopodctl cannot do ends with one line that names the input, and an exit code of its own."""
import json
import time
import unittest

import lab
from layout import CRIU_IMAGES, Layout
from two_nodes import PodTest, a, request_for, setUpModule, tearDownModule, unique  # noqa: F401

USAGE, NOT_FOUND, TAKEN, REFUSED, DAMAGED, UNREACHABLE, BUSY = 2, 3, 4, 5, 6, 7, 9

# Writes a tar file with one bit flipped, 40 bytes into its first zstd stream.
FLIP_IN_A_BLOB = """
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[data.index(bytes.fromhex("28b52ffd")) + 40] ^= 1
sys.stdout.buffer.write(data)
"""


class BadInputTest(PodTest):
    def assert_fails(self, code, words, *arguments):
        """Exit code `code`, nothing on standard output, and an error that holds the words."""
        result = a.ctl("--output", "json", *arguments, check=False)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stdout, "")
        message = self.message_of(result.stderr)
        for word in words:
            self.assertIn(word, message)
        return message

    def message_of(self, stderr):
        """Of JSON; a command line that is not understood has not said yet that it wants JSON."""
        if stderr.startswith("{"):
            return json.loads(stderr)["error"]["message"]
        self.assertRegex(stderr, r"\Acryopodctl: [^\n]*\n\Z")
        return stderr


class PodsTest(BadInputTest):
    def test_no_such_pod(self):
        for pod in ("default/nothing", "nowhere/nothing", "0123456789abcdef"):
            self.assert_fails(NOT_FOUND, [pod], "checkpoint", pod)

    def test_a_pod_whose_container_has_failed(self):
        pod = self.run_pod("failed", lab.container("one", "counter"),
                           lab.container("two", ["sh", "-c", "exit 7"], image=lab.BUSYBOX_IMAGE))
        pod.wait_until_ended("two")
        name = f"default/{pod.config['metadata']['name']}"

        # One that has ended with 0 is taken for an init container, which has done its work.
        for options in ([], ["--stop"]):
            self.assert_fails(REFUSED, [name, "container two has ended with exit code 7"],
                              "checkpoint", name, *options)
        self.assert_ok(pod, "one")

    def test_a_pod_none_of_whose_containers_runs(self):
        pod = self.run_pod("ended", lab.container("one", "true", image=lab.BUSYBOX_IMAGE))
        pod.wait_until_ended("one")

        self.assert_fails(REFUSED, ["no running container"], "checkpoint", pod.sandbox)

    def test_a_pod_whose_sandbox_has_stopped(self):
        pod = self.run_pod("stopped", lab.container("one", "counter"))
        a.cri("stopp", pod.sandbox)

        self.assert_fails(REFUSED, [pod.config["metadata"]["name"], "stopped"], "checkpoint",
                          pod.sandbox)

    def test_a_second_operation_on_a_pod_is_refused_with_the_id_of_the_first(self):
        pod = self.run_pod("busy", lab.container("one", "memory_load 384"))
        first = a.lab.start("exec", "a", lab.CTL, "checkpoint", pod.sandbox)
        self.addCleanup(first.wait, 120)
        operation = lab.wait_until(lambda: a.ctl_json("list")["operations"], "it runs")[0]

        self.assert_fails(BUSY, [operation["operation_id"]], "checkpoint", pod.sandbox)

        self.assertEqual(first.wait(120), 0)
        self.assert_ok(pod)


class ArchivesTest(BadInputTest):
    @classmethod
    def setUpClass(cls):
        cls.make_origin(lab.container("one", "counter"))
        cls.file = f"/root/{cls.archive}.tar"
        a.ctl("export", cls.archive, "--file", cls.file)

    def damaged(self):
        archive = Layout(a, self.archive).copy(unique("damaged"))
        self.addCleanup(archive.remove)
        archive.flip_a_bit(archive.blob(CRIU_IMAGES))
        return archive

    def test_no_such_archive(self):
        for command in (["restore", "nothing", "--request-from-archive"], ["inspect", "nothing"],
                        ["verify", "nothing"], ["delete", "nothing"], ["export", "nothing"]):
            with self.subTest(command=command[0]):
                self.assert_fails(NOT_FOUND, ["nothing"], *command)

    def test_an_archive_of_another_digest(self):
        reference = f"{self.archive}@sha256:{'0' * 64}"
        result = a.ctl("restore", reference, "--request-from-archive", check=False)

        self.assertNotEqual(result.returncode, 0)
        self.assertIn(self.archive, result.stderr)

    def test_a_name_that_is_taken(self):
        self.assert_fails(TAKEN, [self.archive], "checkpoint", self.source.sandbox, "--archive",
                          self.archive)
        self.assert_fails(TAKEN, [self.archive], "import", self.file, "--archive", self.archive)
        self.assert_fails(TAKEN, [self.file], "export", self.archive, "--file", self.file)
        self.assert_ok(self.source)

    def test_a_damaged_archive_is_verified_and_restored_by_nobody(self):
        archive = self.damaged()

        self.assert_fails(DAMAGED, [archive.name], "verify", archive.name)
        self.assert_fails(DAMAGED, [archive.name, "delete"], "restore", archive.name,
                          "--request-from-archive")

        name = self.source.config["metadata"]["name"]
        self.assertEqual([entry["id"] for entry in a.pods() if entry["name"] == name],
                         [self.source.sandbox])

    def test_a_damaged_file_is_not_imported(self):
        cases = {"short": "head -c 20000 {0}", "text": "echo text", "empty": ":",
                 "flipped": f"python3 -c '{FLIP_IN_A_BLOB}' {{0}}"}
        for case, command in cases.items():
            with self.subTest(case=case):
                file = f"/root/{unique(case)}.tar"
                a.shell(f"{command.format(self.file)} >{file}")
                name = unique(case)

                message = self.assert_fails(DAMAGED, [file], "import", file, "--archive", name)

                self.assertNotIn(name, a.archives(), message)

    def test_no_such_container_in_an_archive(self):
        self.assert_fails(NOT_FOUND, ["stranger"], "export", self.archive, "--container",
                          "stranger", "--file", "/root/stranger.tar")
        self.assertEqual(a.shell("ls /root/stranger.tar 2>/dev/null || true"), "")

    def test_a_restore_without_a_request(self):
        self.assert_fails(USAGE, ["--request"], "restore", self.archive)

    def test_bad_requests(self):
        good = request_for(lab.pod(unique("request")), [lab.container("one", "counter")])
        stranger = request_for(lab.pod(unique("request")), [lab.container("stranger", "counter")])
        cases = {"absent": (None, "/root/absent.json"), "no JSON": ("{", "JSON"),
                 "another container": (json.dumps(stranger), "container one"),
                 "unknown field": (json.dumps({**good, "surprise": 1}), "surprise"),
                 "no container": (json.dumps({**good, "container_configs": []}), "container")}
        for case, (text, word) in cases.items():
            with self.subTest(case=case):
                file = "/root/absent.json" if text is None else f"/root/{unique('request')}.json"
                if text is not None:
                    a.write(file, text)
                self.assert_fails(USAGE, [word], "restore", self.archive, "--request", file)


class AgentTest(BadInputTest):
    def test_an_agent_that_does_not_run(self):
        self.kill_agent(a)

        self.assert_fails(UNREACHABLE, ["/run/cryopod/agent.sock"], "checkpoint", "default/any")

    def stop_for(self, seconds, program):
        """The program gets SIGSTOP now and goes on after a while, whatever becomes of the test."""
        pid = a.shell(f"pgrep -o -x {program}").strip()
        self.addCleanup(a.exec, "kill", "-CONT", pid, check=False)
        a.shell(f"kill -STOP {pid}\n"
                f"(sleep {seconds}; kill -CONT {pid}) </dev/null >/dev/null 2>&1 &")

    def test_an_agent_that_stands_still_is_waited_for(self):
        pod = self.run_pod("still", lab.container("one", "counter"))
        for command in (["list"], ["checkpoint", pod.sandbox, "--archive", unique("still")],
                        ["node", "check"]):
            with self.subTest(command=command[0]):
                self.stop_for(5, "cryopod-agent")
                began = time.monotonic()
                a.ctl(*command)

                self.assertGreater(time.monotonic() - began, 3, "it stood still")
        self.assert_ok(pod)

    def test_a_runtime_that_stands_still_is_waited_for(self):
        pod = self.run_pod("still", lab.container("one", "counter"))
        self.stop_for(5, "containerd")
        began = time.monotonic()

        self.checkpoint(pod)

        self.assertGreater(time.monotonic() - began, 3, "it stood still")
        self.assert_ok(pod)


if __name__ == "__main__":
    unittest.main(verbosity=2)
