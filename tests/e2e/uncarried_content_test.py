#!/usr/bin/python3
"""What an archive does not carry is refused by name before anything is lost, by whatever path it is
mounted and whenever it comes; left out only when it is asked for, and then said."""
import unittest

import lab
from two_nodes import PodTest, a, b, carry, setUpModule, tearDownModule, unique  # noqa: F401

REFUSED = 5
PODS = "/var/lib/kubelet/pods"

# Writes the file $2 as soon as a checkpoint is in the stage "prepare"; the events lie below $1.
WRITE_IN_PREPARE = """
deadline=$(($(date +%s) + 60))
until grep -qs '"prepare"' "$1"/*/events; do [ "$(date +%s)" -lt "$deadline" ] || exit 1; done
echo text >"$2"
grep -qs '"freeze"' "$1"/*/events && exit 2
exit 0
"""
# More names than a restore accepts, in a folder of the container whose first process is $1.
MANY_NAMES = """
import os, sys
os.chroot(f"/proc/{sys.argv[1]}/root")
for number in range(1_000_010):
    if number % 50_000 == 0:
        os.mkdir(f"/srv/many-{number}")
        os.chdir(f"/srv/many-{number}")
        open("first", "w").close()
    else:
        os.link("first", str(number))
"""


class ContentTest(PodTest):
    def assert_refused(self, pod, *words, options=()):
        answer = a.ctl("checkpoint", pod.sandbox, *options, check=False)
        self.assertEqual(answer.returncode, REFUSED, answer.stderr)
        for word in words:
            self.assertIn(word, answer.stderr)

    def check_refused_and_left_out(self, pod, *words):
        """Refused by name; left out and recorded on demand; the rest of the pod is restored."""
        before = pod.report("one")
        self.assert_refused(pod, *words, "--without-volumes")
        self.assert_refused(pod, *words, "--without-volumes", options=["--stop"])
        self.assert_ok(pod)

        answer = self.checkpoint(pod, "--without-volumes")

        self.assertEqual(len(answer["lacks"]), 1)
        inspection = a.ctl_json("inspect", answer["archive"])
        self.assertEqual(inspection["pod_checkpoint"]["lacks"], answer["lacks"])
        for word in words:
            self.assertIn(word, answer["lacks"][0])
        restored = self.restore(answer["archive"], node=a)
        self.assert_went_on(before, restored.report("one"))
        return restored


class PodVolumesTest(ContentTest):
    def setUp(self):
        self.uid = unique("uid")
        self.root = f"{PODS}/{self.uid}"
        self.volume = f"{self.root}/volumes/kubernetes.io~empty-dir/scratch"
        a.exec("mkdir", "-p", self.volume)

    def pod_with(self, source, destination="/scratch"):
        return self.run_pod("volume", lab.container("one", "counter",
                                                    mounts=[(source, destination)]), uid=self.uid)

    def sub_path(self, path):
        """The volume's folder, bound to a place of its own as the kubelet does it."""
        bound = f"{self.root}/volume-subpaths/scratch/one/0"
        a.exec("mkdir", "-p", f"{self.volume}/{path}", bound)
        a.exec("mount", "--bind", f"{self.volume}/{path}", bound)
        self.addCleanup(a.exec, "umount", "--lazy", bound)
        return bound

    def test_files_in_an_empty_dir(self):
        pod = self.pod_with(self.volume)
        self.checkpoint(pod)  # as long as it is empty, nothing is lost
        pod.exec("one", "sh", "-c", "echo text >/scratch/left-out")

        self.check_refused_and_left_out(pod, "container one", "/scratch", "left-out")

    def test_files_in_an_empty_dir_that_is_mounted_by_sub_path(self):
        pod = self.pod_with(self.sub_path("a/b"))
        self.checkpoint(pod)  # the folders on the way are the kubelet's
        pod.exec("one", "sh", "-c", "echo text >/scratch/left-out")

        self.check_refused_and_left_out(pod, "container one", "/scratch", "left-out")

    def test_what_comes_between_preflight_and_the_freeze(self):
        pod = self.pod_with(self.volume)
        # So much to copy ahead that there is time.
        pod.exec("one", "dd", "if=/dev/urandom", "of=/srv/large", "bs=1M", "count=600")
        script = f"sh -c '{WRITE_IN_PREPARE.replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}'"
        answer = a.shell(
            f"{script} _ /run/cryopod/jobs {self.volume}/left-out & writer=$!\n"
            f"{lab.CTL} checkpoint {pod.sandbox} 2>&1; echo exit=$?\n"
            "wait $writer; echo writer=$?", timeout_s=90)

        self.assertIn("writer=0", answer, "it was not written in time")
        self.assertIn(f"exit={REFUSED}", answer)
        self.assertIn("left-out", answer)
        self.assert_ok(pod)


class ImageVolumeTest(ContentTest):
    def test_files_in_a_volume_of_the_image(self):
        pod = self.run_pod("image", lab.container("one", "counter", image=lab.VOLUME_IMAGE))
        pod.wait_for("one")
        self.checkpoint(pod)
        pod.exec("one", "sh", "-c", "echo text >/data/left-out")

        restored = self.check_refused_and_left_out(pod, "container one", "/data", "left-out")

        self.assertEqual(restored.exec("one", "ls", "/data").stdout, "")


class SharedMemoryTest(ContentTest):
    def test_files_in_dev_shm(self):
        pod = self.run_pod("shm", lab.container("one", "counter"))
        pod.exec("one", "sh", "-c", "echo text >/dev/shm/left-out")

        restored = self.check_refused_and_left_out(pod, "container one", "/dev/shm", "left-out")

        self.assertEqual(restored.exec("one", "ls", "/dev/shm").stdout, "")

    def test_message_queues(self):
        pod = self.run_pod("queue", lab.container("one", "counter"))
        pod.exec("one", "touch", "/dev/mqueue/left-out")

        self.assert_refused(pod, "message queue", "left-out", "--without-volumes")
        # CRIU 4.2 dumps no file system of queues that holds one.
        result = a.ctl("checkpoint", pod.sandbox, "--without-volumes", check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("mqueue isn't empty", result.stderr)
        self.assert_ok(pod)

    def test_system_v_ipc_objects(self):
        pod = self.run_pod("ipc", lab.container("one", "counter"))
        a.exec("nsenter", "--target", str(pod.pid("one")), "--ipc", "ipcmk", "--shmem", "4096")

        self.check_refused_and_left_out(pod, "System V IPC")


class WritableLayerTest(ContentTest):
    """What a restore would refuse is refused before the source could be stopped."""

    def test_a_device_node(self):
        pod = self.run_pod("device", lab.container("one", "counter"))
        pod.exec("one", "mknod", "/srv/own-null", "c", "1", "3")

        for options in ([], ["--stop"]):
            self.assert_refused(pod, "container one", "srv/own-null", "device node", "remove it",
                                options=options)
        self.assert_ok(pod)
        pod.exec("one", "rm", "/srv/own-null")
        self.checkpoint(pod)

    def test_more_entries_than_a_restore_accepts(self):
        pod = self.run_pod("many", lab.container("one", "counter"))
        a.exec("python3", "-c", MANY_NAMES, str(pod.pid("one")), timeout_s=120)

        self.assert_refused(pod, "container one", "more than 1000000 entries", options=["--stop"])

        self.assert_ok(pod)


class ExternalFilesTest(ContentTest):
    """Files that are open on volumes that outlive the pod."""

    def setUp(self):
        self.volume = f"/srv/{unique('volume')}"
        for node in (a, b):
            node.exec("mkdir", "-p", self.volume)
        a.write(f"{self.volume}/held", "first\n")
        self.pod = self.run_pod("external", lab.container(
            "one", ["volume_holder", "read:/volume/held"], mounts=[(self.volume, "/volume")]))
        self.answer = self.checkpoint(self.pod)

    def test_they_are_named_by_the_checkpoint_and_in_the_archive(self):
        self.assertEqual(self.answer["external_files"],
                         [f"container one: /volume/held (on {self.volume} of the node)"])
        self.assertIn("/volume/held", a.read(lab.AGENT_LOG))
        inspection = a.ctl_json("inspect", self.answer["archive"])
        (container,) = inspection["pod_checkpoint"]["containers"]
        (file,) = container["externalFiles"]
        self.assertEqual((file["mountPoint"], file["path"], file["volume"], file["sizeBytes"]),
                         ("/volume", "held", self.volume, 6))
        self.assertIn("needs", a.ctl("inspect", self.answer["archive"]).stdout)

    def test_one_that_the_other_node_lacks_is_named_before_criu_fails_on_it(self):
        carry(self.answer["archive"])

        refused = b.ctl("restore", self.answer["archive"], "--request-from-archive", check=False)

        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(f"/volume/held: it is not there on {self.volume}", refused.stderr)
        self.assertIn("Bring the volume's content", refused.stderr)

        b.write(f"{self.volume}/held", "first\n")
        self.assert_ok(self.restore(self.answer["archive"]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
