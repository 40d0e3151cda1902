"""Everything that concerns security comes from the live request: an archive gives no pod more than its
request allows."""
import json
import sys
import unittest

import lab
from two_nodes import PodTest, a, request_for, setUpModule, tearDownModule, unique  # noqa: F401


class SecurityTest(PodTest):
    def restore_as(self, archive, container):
        request = request_for(lab.pod(unique("other"), uid=unique("uid")), [container])
        a.write("/root/request.json", json.dumps(request))
        return a.ctl("restore", archive, "--request", "/root/request.json", check=False)

    def check_refused(self, archive, container, reason):
        sandboxes = len(a.pods())
        answer = self.restore_as(archive, container)
        self.assertNotEqual(answer.returncode, 0)
        self.assertIn(reason, answer.stderr)
        self.assertEqual(len(a.pods()), sandboxes, "nothing of the refused pod is left")
        self.assertEqual(a.frozen_cgroups(), [])

    def test_a_process_with_capabilities_is_not_restored_into_a_pod_without(self):
        pod = self.run_pod("root", lab.container("count", "counter"))
        archive = self.checkpoint(pod)["archive"]

        self.check_refused(archive, lab.container("count", "counter", user=1000, restricted=True),
                           "CAP_")

    def test_a_process_without_seccomp_is_not_restored_into_a_pod_that_asks_for_it(self):
        pod = self.run_pod("open", lab.container("count", "counter", user=1000))
        archive = self.checkpoint(pod)["archive"]
        stricter = lab.container("count", "counter", user=1000)
        stricter["linux"]["security_context"]["seccomp"] = {
            "profile_type": lab.PROFILE_RUNTIME_DEFAULT}

        self.check_refused(archive, stricter, "seccomp")

    def test_a_process_of_another_user_is_not_restored_into_a_restricted_pod(self):
        pod = self.run_pod("user", lab.container("count", "counter", user=1000, restricted=True))
        archive = self.checkpoint(pod)["archive"]

        self.check_refused(archive, lab.container("count", "counter", user=1001, restricted=True),
                           "user 1000")

    def test_the_same_context_is_restored(self):
        container = lab.container("count", "counter", user=1000, restricted=True)
        pod = self.run_pod("same", container)
        archive = self.checkpoint(pod)["archive"]

        answer = self.restore_as(archive, container)

        self.assertEqual(answer.returncode, 0, answer.stderr)
        for sandbox in a.pods():
            if sandbox["name"].startswith("other"):
                a.cri("stopp", sandbox["id"])
                a.cri("rmp", sandbox["id"])


class UnpackerTest(unittest.TestCase):
    """The only program that parses a stranger's archive, watched while it waits for one."""

    def test_it_has_no_privilege_and_a_filter_of_system_calls(self):
        rights = a.shell("""
            mkfifo /run/input && exec 3<>/run/input 4>/dev/null 5>/dev/null
            /opt/cryopod/libexec/cryopod/cryopod-unpack emit 1000 10 60 & unpacker=$!
            for i in $(seq 100); do
              grep -q 'Seccomp:.2' /proc/$unpacker/status && break
              sleep 0.1
            done
            cat /proc/$unpacker/status
            kill -KILL $unpacker
            rm /run/input""")

        fields = dict(line.split(":\t", 1) for line in rights.splitlines() if ":\t" in line)
        self.assertEqual(fields["Seccomp"], "2")
        self.assertEqual(fields["NoNewPrivs"], "1")
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(fields[capabilities], 16), 0, capabilities)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main(verbosity=2)
