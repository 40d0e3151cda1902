import unittest

import records
from bench import calm, machine

STAT = "cpu  {} 0 {} {} {} 0 0 {} 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n"


def ticks(user=0, system=0, idle=0, iowait=0, steal=0):
    return calm.Ticks(STAT.format(user, system, idle, iowait, steal))


class TicksTest(unittest.TestCase):
    def test_work_and_what_others_stole_is_busy_and_waiting_for_disks_is_not(self):
        before, after = ticks(100, 100, 1000), ticks(110, 110, 1060, 10, 10)

        self.assertAlmostEqual(0.3, after.busy_share_since(before))
        self.assertAlmostEqual(0.1, after.steal_share_since(before))

    def test_what_is_our_own_is_not_others(self):
        before, after = ticks(), ticks(user=600, idle=400)

        self.assertAlmostEqual(0.1, after.others_share_since(before, own_s=5))
        self.assertEqual(0, after.others_share_since(before, own_s=50))

    def test_only_too_much_of_others_is_a_reason(self):
        self.assertIsNone(calm.reason_of_others(calm.OTHERS_SHARE_MAX))
        self.assertIn("30%", calm.reason_of_others(0.3))


class MachineTest(unittest.TestCase):
    def test_versions_and_rights_are_found_in_what_the_node_prints(self):
        found = machine.of_node(
            "criu: Version: 4.2\ncontainerd: containerd github.com/containerd 2.1.9~ds1 abc\n"
            "runc: runc version 1.3.6+ds1\npodman: \ncapabilities: 000001ffffffffff\n")

        self.assertEqual(("4.2", "2.1.9~ds1", "1.3.6", None),
                         tuple(found[name] for name in machine.PROGRAMS))
        self.assertTrue(found["cap_sys_resource"])
        self.assertFalse(machine.of_node("capabilities: 000001fffeffffff\n")["cap_sys_resource"])

    def test_this_machine_and_a_run_that_was_cut_off_can_be_described(self):
        text = machine.described({**records.MACHINE, **machine.of_host(), **records.end()["machine"]})

        self.assertIn("processors", text)
        self.assertIn("without CAP_SYS_RESOURCE", text)
        self.assertIn("the run was cut off", machine.described(records.MACHINE))
