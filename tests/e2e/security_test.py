"""Everything that concerns security comes from the live request: an archive gives no pod more than its
request allows."""
import json
import re
import unittest

import forge
import lab
from two_nodes import PodTest, a, request_for, setUpModule, tearDownModule, unique  # noqa: F401


class RestoreAsTest(PodTest):
    """Restores into pods whose request is not that of the source."""

    def restore_as(self, archive, container):
        request = request_for(lab.pod(unique("other"), uid=unique("uid")), [container])
        a.write("/root/request.json", json.dumps(request))
        return a.ctl("restore", archive, "--request", "/root/request.json", check=False)

    def archive_of(self, container):
        return self.checkpoint(self.run_pod("source", container))["archive"]

    def check_refused(self, archive, container, *reasons):
        sandboxes = len(a.pods())
        answer = self.restore_as(archive, container)
        self.assertNotEqual(answer.returncode, 0)
        for reason in reasons:
            self.assertIn(reason, answer.stderr)
        self.assertEqual(len(a.pods()), sandboxes, "nothing of the refused pod is left")
        self.assertEqual(a.frozen_cgroups(), [])

    def check_restored(self, archive, container):
        answer = self.restore_as(archive, container)

        self.assertEqual(answer.returncode, 0, answer.stderr)
        restored = [sandbox["id"] for sandbox in a.pods() if sandbox["name"].startswith("other")]
        self.assertEqual(len(restored), 1)
        for call in ("stopp", "rmp"):
            a.cri(call, *restored)


class SecurityTest(RestoreAsTest):
    def test_a_process_with_capabilities_is_not_restored_into_a_pod_without(self):
        archive = self.archive_of(lab.container("count", "counter"))

        self.check_refused(archive, lab.container("count", "counter", user=1000, restricted=True),
                           "CAP_")

    def test_the_same_context_is_restored(self):
        container = lab.container("count", "counter", user=1000, restricted=True)

        self.check_restored(self.archive_of(container), container)

    def test_root_is_not_restored_into_a_pod_of_a_user_who_can_gain_nothing(self):
        # Its bounding set is as large as root's; an exec leaves a user nothing of it.
        archive = self.archive_of(half_restricted(lab.container("count", "counter")))

        self.check_refused(archive, half_restricted(lab.container("count", "counter", user=1000)),
                           "CAP_", "user 1000, group 1000, no_new_privs, seccomp")
        self.check_restored(archive, half_restricted(lab.container("count", "counter")))

    def test_a_user_with_default_capabilities_in_bounding_is_restored(self):
        container = half_restricted(lab.container("count", "counter", user=1000))

        self.check_restored(self.archive_of(container), container)


def half_restricted(container):
    """No new privileges and the runtime's seccomp profile, and yet the default capabilities."""
    security = container["linux"]["security_context"]
    security["no_new_privs"] = True
    security["seccomp"] = {"profile_type": lab.PROFILE_RUNTIME_DEFAULT}
    return container


class MountSecurityTest(RestoreAsTest):
    """The flags of mounts are the new pod's, too, and no archive leaves out what confines it."""

    def with_volume(self, read_only):
        a.exec("mkdir", "-p", "/srv/volume")
        return lab.container("count", "counter", mounts=[("/srv/volume", "/data", read_only)])

    def test_a_writable_volume_is_not_restored_where_the_new_pods_is_read_only(self):
        archive = self.archive_of(self.with_volume(read_only=False))

        self.check_refused(archive, self.with_volume(read_only=True), "container count",
                           "at /data the new pod asks for /srv/volume (ro)",
                           "the archive brings", "(rw,")
        self.check_restored(archive, self.with_volume(read_only=False))

    def test_a_read_only_volume_is_restored(self):
        container = self.with_volume(read_only=True)

        self.check_restored(self.archive_of(container), container)

    def test_an_archive_that_leaves_out_what_protects_the_node_is_refused(self):
        container = lab.container("count", "counter", default_proc_mount=True)
        archive = self.archive_of(container)
        self.assert_ok(self.restore(archive, a))  # as it was made it is well
        self.assertEqual(forge.without_mount(a, archive, "/proc/sys"), 1)

        self.check_refused(archive, container, "at /proc/sys the new pod asks for it read-only",
                           "the archive brings")
        self.check_refused(archive, container, "at /proc/sys")


class UnpackerTest(PodTest):
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

        self.assert_confined(dict(re.findall(r"^(\w+):\s+(.*)$", rights, re.MULTILINE)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
