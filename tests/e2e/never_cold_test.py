#!/usr/bin/python3
"""A pod that asks for a restore which cannot be done is refused, and its second try as well: by bare
CRI calls, as a kubelet makes them. It never starts cold in silence."""
import itertools
import unittest

import lab
from bare_pod import BarePod, Refused
from layout import CRIU_IMAGES, Layout
from two_nodes import PodTest, b, carry, setUpModule, tearDownModule, unique  # noqa: F401

METADATA = "application/vnd.cryopod.checkpoint.metadata.v1.tar+zstd"
NO_DIGEST = "sha256:" + "0" * 64


class NeverColdTest(PodTest):
    @classmethod
    def setUpClass(cls):
        cls.make_origin(lab.container("one", "counter"))
        carry(cls.archive)
        cls.origin = Layout(b, cls.archive)

    def setUp(self):
        self.archive = self.copy(self.origin)

    def copy(self, archive):
        copy = archive.copy(unique("archive"))
        self.addCleanup(copy.remove)
        return copy

    def bare_pod(self, restore_from=None, *containers):
        pod = BarePod(b, restore_from or self.archive.name, *containers)
        self.addCleanup(pod.end)
        return pod

    def assert_refused(self, call, word):
        with self.assertRaises(Refused) as caught:
            call()
        self.assertIn(word, caught.exception.reason)
        return caught.exception

    def assert_every_try_is_refused(self, pod, word=None):
        """The first try; a new container in the same sandbox; a new sandbox of the same pod."""
        word = word or self.archive.name
        refused = self.assert_refused(pod.run, word)
        if refused.call != "runp":
            self.assert_refused(pod.restart, word)
        self.assert_refused(pod.run, word)
        self.assertEqual(pod.running(), [])

    def assert_restored(self, pod):
        self.assert_went_on(self.before["one"], pod.report())

    def test_an_intact_archive_is_restored(self):
        # Else the tests below would prove nothing.
        pod = self.bare_pod()

        pod.run()

        self.assert_restored(pod)

    def test_a_pod_that_asks_for_no_restore_starts_as_any(self):
        pod = self.bare_pod()
        pod.annotations = {"cryopod.dev/other": "value"}

        pod.run()

        self.assertNotEqual(pod.report()["instance"], self.before["one"]["instance"])

    def test_an_archive_that_is_absent_before_and_after_a_reboot(self):
        self.archive.remove()
        pod = self.bare_pod()
        self.assert_every_try_is_refused(pod)

        b.reboot()
        b.agent("start")

        self.assert_every_try_is_refused(pod)

    def test_an_archive_that_comes_after_the_first_try_is_restored(self):
        away = f"{self.archive.path}-away"
        b.exec("mv", self.archive.path, away)
        pod = self.bare_pod()
        self.assert_refused(pod.run, self.archive.name)

        b.exec("mv", away, self.archive.path)
        pod.run()

        self.assert_restored(pod)

    def test_a_pinned_digest_that_differs(self):
        self.assert_every_try_is_refused(self.bare_pod(f"{self.archive.name}@{NO_DIGEST}"))

    def test_impossible_references(self):
        for reference in ("", "../archive", "/etc/passwd", f"{self.archive.name}@md5:0",
                          f"{self.archive.name}@", f"{self.archive.name} {self.archive.name}"):
            with self.subTest(reference=reference):
                pod = self.bare_pod()
                pod.annotations["cryopod.dev/restore-from"] = reference
                self.assert_every_try_is_refused(pod, reference or "restore-from")

    def test_a_container_that_the_archive_does_not_hold(self):
        pod = self.bare_pod(None, lab.container("stranger", "counter"))

        self.assert_refused(pod.run, self.archive.name)
        self.assert_refused(lambda: pod.restart("stranger"), self.archive.name)
        self.assertEqual(pod.running(), [])

    def test_a_bit_that_flipped_at_the_beginning_in_the_middle_or_at_the_end_of_any_file(self):
        # One of each kind; manifest and configuration of pod and container are four.
        files = dict([("index.json", f"{self.archive.path}/index.json"), *self.archive.blobs()])
        self.assertEqual(len(files), 9, files)
        for (kind, path), where in zip(files.items(), itertools.cycle((0, 0.5, 1))):
            with self.subTest(kind=kind, where=where):
                archive = self.copy(self.archive)
                archive.flip_a_bit(path.replace(self.archive.path, archive.path), where)
                self.check_damaged(self.bare_pod(archive.name), archive.name, kind)

    def check_damaged(self, pod, archive, kind):
        try:
            pod.run()
        except Refused as refused:
            self.assertIn(archive, refused.reason)
            self.assertEqual(pod.running(), [])
        else:
            # What other tools read is not needed: then the pod is the one of the archive.
            self.assertEqual(kind, METADATA)
            self.assert_restored(pod)
        pod.end()

    def test_a_bit_that_flipped_in_a_page_before_and_after_a_reboot(self):
        self.archive.flip_a_bit(self.archive.blob(CRIU_IMAGES), 0.7)
        pod = self.bare_pod()
        self.assert_every_try_is_refused(pod)

        b.reboot()
        b.agent("start")

        self.assert_every_try_is_refused(pod)


if __name__ == "__main__":
    unittest.main(verbosity=2)
