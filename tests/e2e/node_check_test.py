"""`cryopodctl node check` on a node that lacks one requirement after another: it names exactly that
one, with the reason and the remedy, and nothing once it is mended. What needs no kernel and no
containerd to be lacking is a unit test, and so is what no lab has: an old kernel, little memory."""
import json
import os
import unittest

import lab
from lab import wait_until

CGROUP = os.environ.get("CRYOPOD_E2E_CGROUP", "v2")
DROP_IN = "/etc/containerd/conf.d/cryopod.toml"
SETTINGS = "/etc/cryopod/cryopod.toml"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
# Tells its version, and is refused what it needs of the kernel.
WEAK_CRIU = """#!/bin/sh
exec setpriv --bounding-set=-sys_admin,-checkpoint_restore criu "$@"
"""
UNFIT = 11

_lab = lab.Lab(cgroup=CGROUP, nodes=1, name=os.environ.get("CRYOPOD_LAB_NAME"))
a = _lab["a"]


def setUpModule():
    if not os.environ.get("CRYOPOD_LAB_KEEP"):
        unittest.addModuleCleanup(_lab.down)
    _lab.up()
    a.agent("restart")


def check():
    """The exit code, and the requirements by name."""
    answer = a.ctl("--output", "json", "node", "check", check=False)
    return answer.returncode, {entry["requirement"]: entry for entry in json.loads(answer.stdout)}


class NodeCheckTest(unittest.TestCase):
    def setUp(self):
        self.assert_fit("before")

    def assert_fit(self, when):
        code, requirements = check()
        lacking = [entry for entry in requirements.values() if entry["ok"] is not True]
        self.assertEqual(lacking, [], when)
        self.assertEqual(code, 0, when)

    def assert_lacks(self, name, reason):
        """Only `name` is lacking; what `reason` holds stands in its reason."""
        code, requirements = check()
        lacking = [entry["requirement"] for entry in requirements.values() if entry["ok"] is False]
        self.assertEqual(lacking, [name], requirements)
        self.assertEqual(code, UNFIT)
        self.assertIn(reason, requirements[name]["reason"])
        self.assertNotEqual(requirements[name]["remedy"], "")
        for entry in requirements.values():
            if entry["ok"] is None:
                self.assertIn("cannot be seen without", entry["reason"])
        text = a.ctl("node", "check", check=False)
        self.assertEqual(text.returncode, UNFIT)
        self.assertIn(f"\n{name} is lacking: ", text.stdout)
        self.assertEqual(text.stdout.count(" is lacking: "), 1)

    def mend_later(self, *mends):
        """Takes back what the test did, and sees that nothing is lacking then."""
        def mend():
            for one in mends:
                one()
            self.assert_fit("after it was mended")
        self.addCleanup(mend)

    def configure_agent(self, line):
        a.write(SETTINGS, f"[agent]\n{line}\n")
        self.mend_later(lambda: a.exec("rm", "-f", SETTINGS), lambda: a.agent("restart"))
        a.agent("restart")

    def check_drop_in(self, command, name, reason):
        """What is lacking after this command on containerd's drop-in for the handler."""
        text = a.read(DROP_IN)
        self.mend_later(lambda: a.write(DROP_IN, text), lambda: a.containerd("restart"))
        a.exec(*command, DROP_IN)
        a.containerd("restart")

        self.assert_lacks(name, reason)

    def run_agent(self, *words):
        """The agent in a world of its own, which `words` make before they run it."""
        a.agent("stop")
        command = " ".join(words)
        a.shell("rm -f /run/cryopod/agent.sock; "
                f"setsid {command} </dev/null >>{lab.AGENT_LOG} 2>&1 &")
        self.mend_later(lambda: a.agent("restart"))
        wait_until(lambda: a.exec("test", "-S", "/run/cryopod/agent.sock",
                                  check=False).returncode == 0, "the agent listens")

    def test_the_agent_does_not_run(self):
        a.agent("stop")
        self.mend_later(lambda: a.agent("start"))

        self.assert_lacks("agent", "does not run")

    def test_the_runtimes_way_to_the_agent_is_gone(self):
        a.exec("rm", "/run/cryopod/runtime.sock")
        self.mend_later(lambda: a.agent("restart"))

        self.assert_lacks("runtime-socket", "/run/cryopod/runtime.sock")

    def test_the_agent_lacks_a_capability(self):
        self.run_agent("setpriv --bounding-set=-sys_ptrace /opt/cryopod/bin/cryopod-agent")

        self.assert_lacks("capabilities", "CAP_SYS_PTRACE")

    def test_nothing_is_mounted_that_can_freeze(self):
        self.run_agent("unshare -m sh -c 'umount -l -R /sys/fs/cgroup; "
                       "exec /opt/cryopod/bin/cryopod-agent'")

        self.assert_lacks("cgroup-freezer", "freezer")

    def test_criu_cannot_work_on_this_kernel(self):
        a.write("/root/criu-weak", WEAK_CRIU)
        a.exec("chmod", "755", "/root/criu-weak")
        self.configure_agent('criu = "/root/criu-weak"')

        self.assert_lacks("criu-features", "CRIU cannot work on this node")

    def test_the_disk_is_full(self):
        self.run_agent("unshare -m sh -c 'mount -t tmpfs -o size=8m,mode=700 small /var/lib/cryopod; "
                       "exec /opt/cryopod/bin/cryopod-agent'")

        self.assert_lacks("disk-space", "/var/lib/cryopod")

    def test_containerd_does_not_answer(self):
        a.exec("mv", CONTAINERD_SOCKET, f"{CONTAINERD_SOCKET}.away")
        self.mend_later(lambda: a.exec("mv", f"{CONTAINERD_SOCKET}.away", CONTAINERD_SOCKET),
                        lambda: a.agent("restart"))
        # The connection that it has would stay.
        a.agent("restart")

        self.assert_lacks("runtime", CONTAINERD_SOCKET)

    def test_containerd_has_no_handler(self):
        self.check_drop_in(["rm"], "runtime-handler", '"cryopod"')

    def test_the_handler_passes_no_annotations_of_pods(self):
        self.check_drop_in(["sed", "-i", "/pod_annotations/d"], "runtime-annotations",
                           "cryopod.dev/restore-from")

    def test_the_handler_has_another_snapshotter(self):
        self.check_drop_in(["sed", "-i", 's/^  pod_annotations/  snapshotter = "native"\\n&/'],
                           "snapshotter", "overlayfs")

    def test_the_handlers_program_is_runc(self):
        self.check_drop_in(["sed", "-i", "s,/opt/cryopod/bin/cryopod-runtime,/usr/sbin/runc,"],
                           "runtime-program", "it is not cryopod-runtime")

    def test_a_signal_makes_the_agent_read_its_log_level_again(self):
        self.configure_agent('log_level = "info"')
        a.write(SETTINGS, '[agent]\nlog_level = "debug"\n')

        a.shell("kill -HUP $(/usr/libexec/lab/agent pid)")

        wait_until(lambda: '"msg":"log level set","log_level":"debug"' in a.read(lab.AGENT_LOG),
                   "the agent says its new log level")


if __name__ == "__main__":
    unittest.main(verbosity=2)
