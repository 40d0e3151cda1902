#!/usr/bin/python3
"""A pod moves although its kubelet makes everything anew that it mounts into it: other paths, other
contents, other sizes, and a pod of another UID."""
import unittest

import lab
from bare_pod import Refused
from kubelet_pod import CONFIG, DOWNWARD, SERVICE_ACCOUNT, SUB_PATH, KubeletPod
from two_nodes import PodTest, a, b, carry, setUpModule, tearDownModule, unique  # noqa: F401

TOKEN = f"{SERVICE_ACCOUNT}/token"
LOG = "/dev/termination-log"
NEW = "another-and-longer"


def holder(*arguments, **options):
    return lab.container("one", ["volume_holder", *arguments], **options)


def run_source(add_cleanup, *containers, init=()):
    source = KubeletPod(a, None, *containers, init=init)
    add_cleanup(source.end)
    source.run()
    return source


def carried_archive(source):
    archive = unique("kubelet")
    source.node.ctl("checkpoint", source.sandboxes[-1], "--archive", archive)
    carry(archive)
    return archive


class KubeletTest(PodTest):
    def target_of(self, source, archive=None):
        """The pod that another kubelet makes of the source's archive; not run yet."""
        first = len(source.init)
        target = KubeletPod(b, archive or carried_archive(source), *source.containers[first:],
                            init=source.containers[:first], text=NEW)
        self.addCleanup(target.end)
        return target

    def move(self, container, between=lambda source: None):
        """Moves a pod of one container; returns the restored one."""
        source = run_source(self.addCleanup, container)
        before = source.report()
        between(source)
        target = self.target_of(source)
        target.run()
        self.assert_went_on(before, target.report())
        self.assert_ok(target.pod())
        return target

    def assert_ended_well(self, pod, name):
        lab.wait_until(lambda: pod.pod().state(name) == "exited", f"container {name} has ended")
        self.assertEqual(pod.pod().status(name)["exit_code"], 0)

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
        source = run_source(
            self.addCleanup, holder("read:/volume/file", mounts=[("/srv/volume", "/volume")]))
        target = self.target_of(source)

        with self.assertRaisesRegex(Refused, "another size"):
            target.run()

        self.assertEqual(target.running(), [])


class FinishedContainersTest(KubeletTest):
    """The init container setup writes a line into a volume of its node whenever it runs."""

    @classmethod
    def setUpClass(cls):
        for node in (a, b):
            node.exec("mkdir", "-p", "/srv/setup")
        setup = lab.container("setup", ["sh", "-c", "echo ran >>/shared/runs"],
                              mounts=[("/srv/setup", "/shared")])
        cls.source = run_source(cls.addClassCleanup, lab.container("one", "counter"), init=[setup])
        cls.before = cls.source.report()
        cls.archive = carried_archive(cls.source)

    def setUp(self):
        b.exec("rm", "-f", "/srv/setup/runs")
        self.target = self.target_of(self.source, self.archive)

    def runs(self):
        return b.shell("cat /srv/setup/runs 2>/dev/null || true").split()

    def assert_restored(self):
        self.assertEqual(self.runs(), [])
        self.assert_went_on(self.before, self.target.report())

    def test_it_is_not_run_again_and_ends_well(self):
        self.target.run()

        self.assert_ended_well(self.target, "setup")
        self.assert_restored()

    def test_it_is_not_run_again_in_a_second_sandbox_as_long_as_the_pod_is_to_be_restored(self):
        self.target.run_sandbox()
        self.target.restart("setup")
        self.assert_ended_well(self.target, "setup")

        self.target.run()

        self.assert_restored()

    def test_it_runs_with_the_pod_once_that_starts_cold(self):
        self.target.run()
        self.target.crash()
        self.kill_agent(b)

        self.target.run()

        self.assertEqual(self.runs(), ["ran"])
        self.assertNotEqual(self.target.report()["instance"], self.before["instance"])

    def test_without_an_agent_it_is_refused_again_and_again(self):
        self.target.run_sandbox()
        self.kill_agent(b)

        for _ in range(2):
            with self.assertRaisesRegex(Refused, "never started cold"):
                self.target.restart("setup")

        self.assertEqual(self.runs(), [])
        self.assertEqual(self.target.running(), [])

    def test_a_restored_pod_remembers_it(self):
        self.target.run()

        archive = self.checkpoint(self.target.pod())["archive"]
        self.target = self.target_of(self.target, archive)
        self.target.run()

        self.assert_restored()


class EndedContainersTest(KubeletTest):
    def test_one_that_had_finished_needs_nothing_of_its_image(self):
        # An image without a shell or a library; what it ran ended well when it was told to.
        first, last = [lab.container(name, ["/pause"], image="lab.local/pause:1", user=1000,
                                     restricted=True, read_only_root=True)
                       for name in ("first", "last")]
        source = run_source(self.addCleanup, first, lab.container("one", "counter"), last)
        for name in ("first", "last"):
            a.cri("stop", source.made[name][-1], "10")
        before = source.report()
        target = self.target_of(source)

        target.run()

        # Wherever it stands: the last one is made when the others run already.
        for name in ("first", "last"):
            target.pod().wait_until_ended(name)
            self.assert_ended_well(target, name)
        self.assert_went_on(before, target.report())


class BarrierTest(KubeletTest):
    """Containers that are restored one after the other are held for each other; here one for long."""

    @classmethod
    def setUpClass(cls):
        cls.source = run_source(cls.addClassCleanup, *[lab.container(name, "counter")
                                                       for name in ("one", "two")])
        cls.before = {name: cls.source.report(name) for name in ("one", "two")}
        cls.archive = carried_archive(cls.source)

    def setUp(self):
        self.configure_agent(b, "[agent]\nrestore_hold = 60000\n")
        self.target = self.target_of(self.source, self.archive)
        self.target.run_sandbox()
        self.target.restart("one")

    def is_held(self, name):
        return self.target.pod().is_held(name)

    def test_a_hook_after_the_start_lets_its_container_go(self):
        self.assertTrue(self.is_held("one"))

        answer = self.target.pod().exec("one", "echo", "hook", timeout_s=30)

        self.assertEqual(answer.stdout, "hook\n")
        self.assertFalse(self.is_held("one"))
        self.target.restart("two")
        for name in ("one", "two"):
            self.assert_went_on(self.before[name], self.target.report(name))

    def test_a_held_container_can_be_stopped(self):
        self.assertTrue(self.is_held("one"))

        b.cri("stop", self.target.made["one"][-1], "60", timeout_s=30)

        self.assert_ended_well(self.target, "one")


class OrdinaryPodTest(KubeletTest):
    def test_a_terminal_and_a_stop_with_grace_work_in_a_restored_pod(self):
        target = self.move(lab.container("one", "counter"))
        wrapper = ["/opt/cryopod/bin/cryopod-runtime", "--root", "/run/containerd/runc/k8s.io"]
        spawn = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"

        answer = b.exec("python3", "-c", spawn, *wrapper, "exec", "-t", target.made["one"][-1],
                        "sh", "-c", "test -t 0 && tty")
        b.cri("stop", target.made["one"][-1], "60", timeout_s=30)

        self.assertIn("/dev/pts/", answer.stdout)
        # SIGTERM's handler has ended it, and no SIGKILL.
        self.assert_ended_well(target, "one")


if __name__ == "__main__":
    unittest.main(verbosity=2)
