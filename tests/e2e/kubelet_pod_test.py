#!/usr/bin/python3
"""A pod moves although its kubelet makes everything anew that it mounts into it: other paths, other
contents, other sizes, and a pod of another UID."""
import sys
import unittest

import lab
from bare_pod import Refused
from kubelet_pod import CONFIG, DOWNWARD, SERVICE_ACCOUNT, SUB_PATH, KubeletPod
from two_nodes import PodTest, a, b, carry, setUpModule, tearDownModule  # noqa: F401

TOKEN = f"{SERVICE_ACCOUNT}/token"
LOG = "/dev/termination-log"
NEW = "another-and-longer"


def holder(*arguments, **options):
    return lab.container("one", ["volume_holder", *arguments], **options)


class KubeletTest(PodTest):
    def run_source(self, *containers):
        source = KubeletPod(a, None, *containers)
        self.addCleanup(source.end)
        source.run()
        return source

    def target_of(self, source):
        """The pod that another kubelet makes of the source's archive; not run yet."""
        archive = self.checkpoint(source.pod())["archive"]
        carry(archive)
        target = KubeletPod(b, archive, *source.containers, text=NEW)
        self.addCleanup(target.end)
        return target

    def move(self, container, between=lambda source: None):
        """Moves a pod of one container; returns the restored one."""
        source = self.run_source(container)
        before = source.report()
        between(source)
        target = self.target_of(source)
        target.run()
        self.assert_went_on(before, target.report())
        self.assert_ok(target.pod())
        return target

    def ask(self, pod, request):
        return pod.pod().ask("one", "volume_holder", request)

    def content(self, pod, path):
        return self.ask(pod, f"content {path}").removeprefix("content ")


class RemadeMountsTest(KubeletTest):
    def check_contents(self, target):
        self.assertEqual(self.content(target, f"{CONFIG}/settings.conf"), f"settings {NEW}")
        self.assertEqual(self.content(target, f"{CONFIG}/other.conf"), f"other {NEW}")
        self.assertEqual(self.content(target, SUB_PATH), f"settings {NEW}")
        self.assertIn(f"token-{NEW}-", self.content(target, TOKEN))

    def check_watches(self, target, *paths):
        self.assertEqual(self.ask(target, "events"), "events")
        target.rotate_settings("even-later")
        target.rotate_token("even-later")
        b.shell(f"echo more >>{target.root}/etc-hosts")
        self.assertEqual(self.ask(target, "events").split()[1:], sorted(paths))

    def test_what_is_held_open_is_found_in_the_new_pod(self):
        watched = (CONFIG, SERVICE_ACCOUNT, "/etc/hosts")
        target = self.move(holder(
            "read:/etc/hosts", "read:/etc/resolv.conf", "read:/etc/hostname", f"write:{LOG}",
            f"read:{TOKEN}", f"read:{CONFIG}/settings.conf", f"map:{CONFIG}/other.conf",
            f"read:{SUB_PATH}", f"read:{DOWNWARD}/labels", f"cwd:{CONFIG}/..data",
            *[f"watch:{path}" for path in watched]))

        self.check_contents(target)
        self.assertEqual(self.content(target, "/etc/hosts").split()[:2], ["#", NEW])
        self.assertIn(NEW, self.content(target, "/etc/resolv.conf"))
        self.assertEqual(set(b.read(f"{target.logs['one'][-1]}").splitlines()), {"line"})
        self.check_watches(target, *watched)

    def test_what_was_replaced_while_it_was_open_is_the_new_pods(self):
        def replace(source):
            source.rotate_token("later")
            source.rotate_settings("later")

        target = self.move(
            holder(f"read:{TOKEN}", f"read:{CONFIG}/settings.conf", f"map:{CONFIG}/other.conf",
                   f"read:{SUB_PATH}", f"cwd:{CONFIG}/..data", f"watch:{CONFIG}", user=1000,
                   restricted=True, read_only_root=True, env={"WORKLOAD_SOCKET": "@holder"}),
            between=replace)

        self.check_contents(target)

    def test_a_file_of_any_other_volume_must_still_be_the_same(self):
        for node, text in ((a, "first"), (b, NEW)):
            node.write("/srv/volume/file", f"{text}\n")
        source = self.run_source(holder("read:/volume/file", mounts=[("/srv/volume", "/volume")]))
        target = self.target_of(source)

        with self.assertRaisesRegex(Refused, "another size"):
            target.run()

        self.assertEqual(target.running(), [])


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
