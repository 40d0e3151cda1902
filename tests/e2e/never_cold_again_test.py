#!/usr/bin/python3
"""What goes wrong after a restore has begun never ends in a cold start, and what a restore has
consumed is decided: a later crash starts the container as it would any other."""
import unittest

import lab
from bare_pod import BarePod, Refused
from layout import CRIU_IMAGES, Layout
from two_nodes import PodTest, b, carry, setUpModule, tearDownModule, unique  # noqa: F401

ROOTFS = "application/vnd.oci.image.layer.v1.tar+zstd"


def reboot(node):
    """The node comes up with an empty /run, its disk as it was."""
    node.reboot()
    node.agent("start")


def kill_restore(node):
    """SIGKILL to cryopod-restore."""
    node.shell("pkill -KILL -x cryopod-restore")
    # A zombie waits for its parent, and does nothing more.
    lab.wait_until(lambda: not node.shell("pgrep -x -r D,R,S cryopod-restore || true"), "it ended")


class AgainTest(PodTest):
    CONTAINERS = ("one",)

    @classmethod
    def setUpClass(cls):
        cls.make_origin(*[lab.container(name, "counter") for name in cls.CONTAINERS])
        carry(cls.archive)
        cls.origin = Layout(b, cls.archive)

    def setUp(self):
        self.archive = self.origin.copy(unique("archive"))
        self.addCleanup(self.archive.remove)
        self.pod = BarePod(b, self.archive.name,
                           *[lab.container(name, "counter") for name in self.CONTAINERS])
        self.addCleanup(self.pod.end)

    def assert_refused(self, call):
        with self.assertRaises(Refused) as caught:
            call()
        self.assertIn(self.archive.name, caught.exception.reason)
        self.assertEqual(self.pod.running(), [])

    def assert_restored(self, *names):
        for name in names or self.pod.made:
            self.assert_went_on(self.before[name], self.pod.report(name))

    def assert_cold(self, name="one"):
        self.assertNotEqual(self.pod.report(name)["instance"], self.before[name]["instance"])

    def check_refused_or_restored(self, name):
        try:
            self.pod.restart(name)
        except Refused as refused:
            self.assertIn(self.archive.name, refused.reason)
            self.assertNotIn(name, self.pod.running())
        else:
            self.assert_restored(name)

    def wait_until_staged(self):
        """cryopod-restore has unpacked and verified what it could before the first `create`."""
        lab.wait_until(lambda: '"staged"' in b.shell("cat /run/cryopod/jobs/r-*/state.json"),
                       "the images are staged")


class AfterStagingTest(AgainTest):
    def run_staged_sandbox(self):
        self.pod.run_sandbox()
        self.wait_until_staged()

    def test_images_that_are_damaged_after_they_were_verified_do_no_harm(self):
        path = self.archive.blob(CRIU_IMAGES)
        self.run_staged_sandbox()

        self.archive.flip_a_bit(path)
        self.pod.restart()

        self.assert_restored()

    def test_a_writable_layer_that_is_damaged_after_staging_is_refused(self):
        path = self.archive.blob(ROOTFS)
        self.run_staged_sandbox()

        self.archive.flip_a_bit(path)

        self.assert_refused(self.pod.restart)
        self.assert_refused(self.pod.restart)
        self.assert_refused(self.pod.run)

    def test_an_archive_that_is_restored_from_cannot_be_deleted(self):
        self.run_staged_sandbox()

        refused = b.ctl("delete", self.archive.name, check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertRegex(refused.stderr, f"being restored from by operation r-.*{self.pod.name}")
        self.pod.restart()

        self.assert_restored()
        lab.wait_until(lambda: b.ctl("delete", self.archive.name, check=False).returncode == 0,
                       "the restore has ended, and nothing keeps the archive")

    def test_a_damaged_archive_that_is_replaced_heals_the_pod_that_waits_for_it(self):
        self.archive.flip_a_bit(self.archive.blob(CRIU_IMAGES))
        self.pod.run_sandbox()
        self.assert_refused(self.pod.restart)

        b.ctl("delete", self.archive.name)
        self.origin.copy(self.archive.name)
        self.pod.restart()

        self.assert_restored()

    def test_an_archive_that_is_gone_and_comes_back_late_heals_it_too(self):
        self.archive.flip_a_bit(self.archive.blob(CRIU_IMAGES))
        self.pod.run_sandbox()
        lab.wait_until(lambda: b.ctl("delete", self.archive.name, check=False).returncode == 0,
                       "the damage is found, and nothing keeps the archive")
        self.assert_refused(self.pod.restart)
        self.assert_refused(self.pod.restart)

        self.origin.copy(self.archive.name)
        self.pod.restart()

        self.assert_restored()

    def test_an_archive_that_is_deleted_after_staging_is_refused_or_restored(self):
        self.run_staged_sandbox()

        self.archive.remove()

        self.check_refused_or_restored("one")
        self.check_refused_or_restored("one")

    def test_an_archive_that_is_deleted_after_staging_is_refused_after_a_reboot(self):
        self.run_staged_sandbox()
        self.archive.remove()

        reboot(b)

        self.assert_refused(self.pod.run)
        self.assert_refused(self.pod.run)

    def test_a_reboot_after_staging_restores_from_the_archive(self):
        self.run_staged_sandbox()

        reboot(b)
        self.pod.run()

        self.assert_restored()

    def test_a_reboot_between_create_and_start_restores_from_the_archive(self):
        self.pod.run_sandbox()
        self.pod.create()

        reboot(b)
        self.pod.run()

        self.assert_restored()


class WithoutHelpTest(AgainTest):
    """The agent or cryopod-restore is not there when it is needed."""

    def test_without_an_agent_there_is_no_sandbox(self):
        self.kill_agent(b)

        self.assert_refused(self.pod.run)
        self.assert_refused(self.pod.run)
        b.agent("start")
        self.pod.run()

        self.assert_restored()

    def test_an_agent_killed_between_sandbox_and_container(self):
        self.pod.run_sandbox()
        self.kill_agent(b)

        self.assert_refused(self.pod.restart)
        self.assert_refused(self.pod.restart)
        b.agent("start")
        self.pod.restart()

        self.assert_restored()

    def test_an_agent_killed_between_create_and_start(self):
        self.pod.run_sandbox()
        self.pod.create()
        self.kill_agent(b)

        with self.assertRaises(Refused):
            self.pod.start()
        self.assertEqual(self.pod.running(), [])
        b.agent("start")
        self.pod.restart()

        self.assert_restored()

    def test_a_restore_process_killed_after_the_sandbox(self):
        self.pod.run_sandbox()
        kill_restore(b)

        self.pod.restart()

        self.assert_restored()

    def test_a_restore_process_killed_between_create_and_start(self):
        self.pod.run_sandbox()
        self.pod.create()
        kill_restore(b)

        try:
            self.pod.start()
        except Refused:
            self.assertEqual(self.pod.running(), [])
            self.pod.restart()

        self.assert_restored()

    def test_agent_and_restore_process_killed_after_the_sandbox(self):
        self.pod.run_sandbox()
        self.kill_agent(b)
        kill_restore(b)

        self.assert_refused(self.pod.restart)
        b.agent("start")
        self.pod.restart()

        self.assert_restored()


class ConsumedTest(AgainTest):
    def test_a_restored_container_that_crashes_starts_cold(self):
        self.pod.run()
        self.assert_restored()
        self.pod.crash()

        self.pod.restart()

        self.assert_cold()

    def test_it_starts_cold_also_without_agent_and_archive(self):
        self.pod.run()
        self.pod.crash()
        self.archive.remove()
        self.kill_agent(b)

        self.pod.restart()

        self.assert_cold()

    def test_it_starts_cold_in_a_new_sandbox_of_the_same_pod(self):
        self.pod.run()
        self.assert_restored()

        self.pod.run()

        self.assert_cold()

    def test_it_starts_cold_after_a_reboot(self):
        self.pod.run()
        self.assert_restored()

        reboot(b)
        self.pod.run()

        self.assert_cold()

    def test_a_pod_of_another_uid_is_restored_from_the_same_archive(self):
        self.pod.run()
        other = BarePod(b, self.archive.name)
        self.addCleanup(other.end)

        other.run()

        self.assert_went_on(self.before["one"], other.report())


class TwoContainersTest(AgainTest):
    CONTAINERS = ("one", "two")

    def test_what_one_container_has_consumed_does_not_start_the_other_cold(self):
        self.pod.run_sandbox()
        self.pod.restart("one")
        self.assert_restored("one")
        self.archive.remove()

        for _ in range(2):
            self.check_refused_or_restored("two")

    def test_a_container_that_is_added_to_a_restored_pod_is_like_any_other(self):
        self.pod.add(lab.container("debugger", "counter"))
        self.pod.run_sandbox()
        self.pod.restart("one")
        self.assert_refused_by_name("debugger")
        self.pod.restart("two")
        self.archive.remove()

        self.pod.restart("debugger")

        self.pod.report("debugger")

    def assert_refused_by_name(self, name):
        with self.assertRaises(Refused) as caught:
            self.pod.restart(name)
        self.assertIn(f'no container "{name}"', caught.exception.reason)


class RebootTest(AgainTest):
    """A node that is lost between the first `create` and the last release: what comes up afterwards is
    of one cut, or of none."""
    CONTAINERS = ("one", "two")
    HELD_FOR_LONG = "[agent]\nrestore_hold = 60000\n"

    def is_held(self, name):
        return self.pod.pod().is_held(name)

    def hold_one(self):
        self.pod.restart("one")
        self.assertTrue(self.is_held("one"))

    def create_both(self):
        for name in self.CONTAINERS:
            self.pod.create(name)

    def start_one_of_two(self):
        self.create_both()
        self.pod.start("one")
        self.assertTrue(self.is_held("one"))

    def execute_in_one(self):
        self.hold_one()
        self.pod.pod().exec("one", "/bin/true")
        self.assertFalse(self.is_held("one"))

    def start_both(self):
        for name in self.CONTAINERS:
            self.pod.restart(name)

    BEFORE = (create_both, hold_one, start_one_of_two)
    AFTER = (start_both, execute_in_one)

    def check(self, moments, assert_outcome):
        self.configure_agent(b, self.HELD_FOR_LONG)
        for reach in moments[-1:] if lab.SHORT else moments:
            with self.subTest(moment=reach.__name__):
                self.pod = BarePod(b, self.archive.name,
                                   *[lab.container(name, "counter") for name in self.CONTAINERS])
                self.addCleanup(self.pod.end)
                self.pod.run_sandbox()
                reach(self)

                reboot(b)
                self.pod.run()

                assert_outcome()
                self.pod.end()

    def assert_all_cold(self):
        for name in self.CONTAINERS:
            self.assert_cold(name)

    def test_before_anything_was_let_run_all_are_restored_again(self):
        self.check(self.BEFORE, self.assert_restored)

    def test_after_that_all_start_cold(self):
        self.check(self.AFTER, self.assert_all_cold)

    def test_after_one_was_let_run_alone_all_start_cold(self):
        self.pod.run_sandbox()
        self.pod.restart("one")
        lab.wait_until(lambda: not self.is_held("one"), "the hold is over")

        reboot(b)
        self.pod.run()

        self.assert_all_cold()


if __name__ == "__main__":
    unittest.main(verbosity=2)
