#!/usr/bin/python3
"""What a process and its container hold is there after a move: memory, files, processes, rights."""
import unittest

import lab
from two_nodes import CGROUP, PodTest, a, b, carry, setUpModule, tearDownModule  # noqa: F401

PAGES_PER_MIB = 256


def status_of(pod, name, *keys):
    """Values of /proc/PID/status of the container's first process, as the node sees it."""
    text = pod.node.read(f"/proc/{pod.pid(name)}/status")
    values = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    return {key: values[key] for key in keys}


class MemoryTest(PodTest):
    def test_every_page_of_256_mib_of_random_memory_verifies(self):
        pod = self.run_pod("memory", lab.container("one", "memory_load 256"))
        before = pod.report("one")

        after = self.move(pod).report("one")

        self.assertEqual(after["pages"], 256 * PAGES_PER_MIB)
        self.assertEqual(after["hash"], before["hash"])

    def test_a_damaged_page_of_the_source_is_found_in_the_copy(self):
        # Else the verifications above would prove nothing.
        pod = self.run_pod("damaged", lab.container("one", "memory_load 16"))
        self.assertEqual(pod.ask("one", "memory_load", "corrupt"), "corrupted")
        archive = self.checkpoint(pod)["archive"]
        carry(archive)

        restored = self.restore(archive)

        self.assertRegex(restored.verify("one"), "^bad: 1 of 4096 pages differ")

    def test_memory_of_every_kind_is_carried_and_what_was_shared_still_is(self):
        pod = self.run_pod("kinds", lab.container("one", "memory_kinds"))
        before = pod.report("one")
        self.assertGreater(before["shared_pages"], 0)

        after = self.move(pod).report("one")

        self.assertEqual(after["shared_pages"], before["shared_pages"])

    def test_memory_keeps_its_content(self):
        for what, load in {"written all the time": "memory_load 64 1 0 random 4k 80",
                           "several large processes with threads": "memory_load 96 3 4 heap",
                           "huge pages": "memory_load 64 1 0 random huge"}.items():
            with self.subTest(what):
                self.move(self.run_pod("memory", lab.container("one", load)))


class OpenFilesTest(PodTest):
    def test_a_file_that_is_deleted_and_still_open_is_carried(self):
        hold = ("exec 3<>/tmp/scratch; dd if=/dev/urandom bs=1M count=8 of=/tmp/scratch 2>/dev/null;"
                "sha256sum </tmp/scratch >/tmp/sum; rm /tmp/scratch; while :; do sleep 1; done")
        pod = self.run_pod("deleted", lab.container("one", ["/bin/sh", "-c", hold],
                                                    image=lab.BUSYBOX_IMAGE))
        lab.wait_until(lambda: pod.exec("one", "ls", "/tmp", check=False).stdout.split() == ["sum"],
                       "the file is deleted")

        restored = self.move(pod)

        hashes = restored.exec("one", "sh", "-c", "cat /tmp/sum; sha256sum </proc/1/fd/3").stdout
        self.assertEqual(len(set(hashes.splitlines())), 1, hashes)


class FilesTest(PodTest):
    """writer: files deleted, renamed, hidden by opaque directories, hard links, xattrs, owners."""

    def move_writer(self, **options):
        pod = self.run_pod("files", lab.container("one", "writer", **options))
        before = pod.report("one")
        self.assertGreater(before["expected"], 40)

        restored = self.move(pod)

        self.assertEqual(restored.report("one")["expected"], before["expected"])
        return pod, restored

    def test_the_writable_layer_is_carried_with_owners_links_and_attributes(self):
        self.move_writer()

    def test_the_writable_layer_of_another_user_is_carried(self):
        self.move_writer(user=1000)

    def test_copy_and_source_go_on_writing_apart(self):
        pod, restored = self.move_writer()

        for one in (pod, restored, pod, pod):
            self.assertEqual(one.ask("one", "writer", "change"), "changed")

        self.assertEqual((pod.report("one")["changes"], restored.report("one")["changes"]), (3, 1))
        self.assert_ok(pod)
        self.assert_ok(restored)

    def test_a_file_that_exec_has_written_is_carried(self):
        pod = self.run_pod("exec", lab.container("one", "counter"))
        pod.exec("one", "sh", "-c", "mkdir -p /srv/new && echo text >/srv/new/file && rm /etc/group")

        restored = self.move(pod)

        self.assertEqual(restored.exec("one", "cat", "/srv/new/file").stdout, "text\n")
        self.assertEqual(restored.exec("one", "ls", "/etc").stdout.split(),
                         pod.exec("one", "ls", "/etc").stdout.split())
        self.assertNotIn("group", restored.exec("one", "ls", "/etc").stdout.split())


class ProcessesTest(PodTest):
    def test_a_dozen_processes_with_threads_keep_numbers_parents_and_state(self):
        pod = self.run_pod("tree", lab.container("one", "process_tree 12 4"))

        restored = self.move(pod)

        self.assertEqual(restored.report("one")["living"], 12)
        tasks = restored.exec("one", "sh", "-c", "ls -d /proc/[0-9]*/task/* | wc -l")
        # 12 processes, each with its first thread and four more; the shell, ls and wc beside them.
        self.assertGreaterEqual(int(tasks.stdout), 12 * 5)


class HoldTest(PodTest):
    """Restored processes wait for their `start` without a signal that they could see."""
    PLUGIN = "/opt/cryopod/libexec/cryopod/plugin/cryopod_hold.so"

    def restored_with_warnings(self, pod):
        archive = self.checkpoint(pod)["archive"]
        carry(archive)
        answer = b.ctl_json("restore", archive, "--request-from-archive")
        return self.answered_pod(answer), answer["warnings"]

    def test_no_handler_runs_and_no_parent_hears_of_a_stop(self):
        pod = self.run_pod("unseen", lab.container("one", "children"))

        restored, warnings = self.restored_with_warnings(pod)

        self.assertEqual(warnings, [])
        self.assertEqual(restored.verify("one"), "ok")
        self.assertEqual(restored.report("one")["unexpected"], 0)

    def test_a_process_that_was_stopped_at_the_cut_stands_and_goes_on_when_it_is_told(self):
        pod = self.run_pod("stopped", lab.container("one", "process_states stopped_child"))
        if CGROUP == "v1":
            # CRIU could not seize it in a frozen cgroup, and would hang.
            self.assertIn("is stopped", a.ctl("checkpoint", pod.sandbox, check=False).stderr)
            return

        archive = self.checkpoint(pod)["archive"]
        carry(archive)
        restored = self.restore(archive)

        for one in (pod, restored):
            self.assertEqual(one.verify("one"), "ok")
            self.assertEqual(one.ask("one", "process_states", "corrupt"), "corrupted")
            self.assertRegex(one.verify("one"), "^bad: a child that was stopped")
        self.take_plugin_away()
        answer = b.ctl("restore", archive, "--request-from-archive", check=False)
        self.assertIn("was stopped at the cut and would be let run", answer.stderr)

    def take_plugin_away(self):
        b.shell(f"mount --bind /dev/null {self.PLUGIN}")
        self.addCleanup(b.exec, "umount", self.PLUGIN)

    def test_without_the_plugin_stop_signals_hold_and_say_so(self):
        pod = self.run_pod("signals", lab.container("one", "counter"))
        self.take_plugin_away()

        restored, warnings = self.restored_with_warnings(pod)

        self.assertEqual(restored.verify("one"), "ok")
        self.assertRegex("\n".join(warnings), "held by stop signals.*does not load")
        checked = b.ctl("node", "check", check=False)
        self.assertRegex(checked.stdout, "criu-plugin.*does not load")


class RightsTest(PodTest):
    KEYS = ("Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "CapInh", "CapPrm", "CapEff", "CapBnd",
            "CapAmb")

    def test_a_restricted_container_of_another_user_keeps_its_restrictions(self):
        pod = self.run_pod("restricted", lab.container(
            "one", "counter", user=1000, restricted=True, read_only_root=True,
            env={"WORKLOAD_SOCKET": "@counter"}))
        rights = status_of(pod, "one", *self.KEYS)
        self.assertEqual(rights["Uid"].split(), ["1000"] * 4)
        self.assertEqual((rights["NoNewPrivs"], rights["Seccomp"]), ("1", "2"))
        self.assertEqual(int(rights["CapBnd"], 16), 0)

        restored = self.move(pod)

        self.assertEqual(status_of(restored, "one", *self.KEYS), rights)
        written = restored.exec("one", "sh", "-c", "echo >/data/file", check=False)
        self.assertIn("Read-only file system", written.stderr)

    def test_a_container_of_root_keeps_its_capabilities(self):
        pod = self.run_pod("root", lab.container("one", "counter"))

        restored = self.move(pod)

        self.assertEqual(status_of(restored, "one", *self.KEYS), status_of(pod, "one", *self.KEYS))
        self.assertNotEqual(int(status_of(restored, "one", "CapEff")["CapEff"], 16), 0)


class TerminalTest(PodTest):
    def test_a_container_with_a_terminal_goes_on_and_writes_to_a_new_one(self):
        pod = self.run_pod("tty", lab.container("one", "counter", tty=True))
        before = pod.report("one")

        restored = self.move(pod)

        first = lab.wait_until(lambda: restored.log("one"), "it writes to its terminal")[0]
        self.assertGreaterEqual(int(first.split()[1]), before["counter"])
        self.assertRegex(b.shell(f"readlink /proc/{restored.pid('one')}/fd/1"), "^/dev/pts/")

    def test_a_shell_with_a_terminal_keeps_its_settings(self):
        shell = ["sh", "-c", "stty -echo rows 33 cols 77; while :; do sleep 0.05; done"]
        pod = self.run_pod("stty", lab.container("one", shell, image=lab.BUSYBOX_IMAGE, tty=True))
        settings = lab.wait_until(lambda: self.settings_with(pod, "-echo"), "stty has run")

        restored = self.move(pod)

        self.assertEqual(self.settings_with(restored, "-echo"), settings)

    def settings_with(self, pod, word):
        text = pod.exec("one", "sh", "-c", "stty -a </proc/1/fd/0").stdout
        return text if word in text.split() and "rows 33" in text else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
