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

    def restored_as(self, archive, container):
        request = request_for(lab.pod(unique("other"), uid=unique("uid")), [container])
        pod = self.restore(archive, a, request)
        self.assert_ok(pod)
        return pod


class SecurityTest(RestoreAsTest):
    def test_root_is_not_restored_into_a_pod_of_another_user(self):
        # Its bounding set is as large as root's; an exec leaves a user nothing of it.
        for restrict in (restricted, half_restricted):
            archive = self.archive_of(restrict(lab.container("count", "counter")))

            self.check_refused(archive, restrict(lab.container("count", "counter", user=1000)),
                               "the archive brings a process of user 0", "allows user 1000, group 1000")
            self.restored_as(archive, restrict(lab.container("count", "counter")))

    def test_a_process_without_a_filter_is_not_restored_into_a_pod_that_asks_for_one(self):
        archive = self.archive_of(lab.container("count", "counter"))

        self.check_refused(archive, half_restricted(lab.container("count", "counter")),
                           "a task without a seccomp filter")

    def test_users_that_can_gain_nothing_are_restored(self):
        for restrict in (restricted, half_restricted):
            container = restrict(lab.container("count", "counter", user=1000))

            self.restored_as(self.archive_of(container), container)


def restricted(container):
    return lab.container("count", "counter", user=container["linux"]["security_context"].get(
        "run_as_user", {}).get("value"), restricted=True)


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

    def test_a_volume_is_as_writable_as_the_new_pod_asks_for_it(self):
        for source, new in ((False, True), (True, False), (True, True)):
            pod = self.restored_as(self.archive_of(self.with_volume(source)), self.with_volume(new))

            written = pod.exec("count", "/bin/sh", "-c", "echo x >/data/file", check=False)
            self.assertEqual(written.returncode != 0, new, written.stderr)

    def test_an_archive_that_leaves_out_what_protects_the_node_is_refused(self):
        container = lab.container("count", "counter", default_proc_mount=True)
        archive = self.archive_of(container)
        self.assert_ok(self.restore(archive, a))  # as it was made it is well
        self.assertEqual(forge.without_mount(a, archive, "/proc/sys"), 1)

        self.check_refused(archive, container, "at /proc/sys the new pod asks for it read-only",
                           "the archive brings")
        self.check_refused(archive, container, "at /proc/sys")


CAP_SETGID = 6
# In a node: what a process may, by its PID, as JSON.
FACTS = r"""
import json, re, sys

pid = sys.argv[1]
read = lambda name: open(f"/proc/{pid}/{name}").read()
rights = r"^(Uid|Gid|Groups|NoNewPrivs|Seccomp|Seccomp_filters|Cap\w+):\s*(.*)$"
mounts = [line.split() for line in read("mountinfo").splitlines()]
print(json.dumps({
    "rights": {name: sorted(value.split()) for name, value in re.findall(rights, read("status"), re.M)},
    "limits": [re.split("  +", line)[:3:2] for line in read("limits").splitlines()],
    "oom_score_adj": read("oom_score_adj"),
    "personality": read("personality"),
    "mounts": sorted((mount[4], mount[mount.index("-") + 1], sorted(
        {"ro", "nosuid", "nodev", "noexec"} & set(mount[5].split(",")))) for mount in mounts),
}))
"""


class FreshTest(RestoreAsTest):
    """A restored container beside a fresh one of the same request: nothing of it may more."""
    maxDiff = None

    def facts(self, pod):
        return json.loads(a.exec("python3", "-c", FACTS, str(pod.pid("count"))).stdout)

    def test_a_restored_container_holds_what_a_fresh_one_of_its_request_does(self):
        a.exec("mkdir", "-p", "/srv/volume", "/srv/tmp")
        volume, tmp = ("/srv/volume", "/data"), ("/srv/tmp", "/tmp")
        plain = lab.container("count", "counter", default_proc_mount=True, mounts=[volume, tmp])
        for name, new in {
                "the same": plain,
                "read-only": lab.container("count", "counter", default_proc_mount=True,
                                           read_only_root=True, mounts=[(*volume, True), tmp]),
                "fewer capabilities": changed(plain, capabilities={
                    "drop_capabilities": ["NET_RAW", "CHOWN", "SETGID"]}),
                "no new privileges": changed(plain, no_new_privs=True),
                "other groups": changed(plain, supplemental_groups=[4711]),
                "killed first": resources(plain, oom_score_adj=500)}.items():
            with self.subTest(new=name):
                source = changed(plain, supplemental_groups=[4242],
                                 capabilities={"add_capabilities": ["NET_ADMIN", "SYS_PTRACE"]})

                restored = self.restored_as(self.archive_of(source), new)

                fresh = self.run_pod(unique("fresh"), new)
                expected, found = self.facts(fresh), self.facts(restored)
                groups, found_groups = (facts["rights"].pop("Groups") for facts in (expected, found))
                self.assertEqual(found, expected)
                # One that it has left it is not put into, and with the right it could join any.
                if int(expected["rights"]["CapEff"][0], 16) & 1 << CAP_SETGID == 0:
                    self.assertLessEqual(set(found_groups), set(groups))


def changed(container, **security):
    container = json.loads(json.dumps(container))
    container["linux"]["security_context"].update(security)
    return container


def resources(container, **values):
    container = json.loads(json.dumps(container))
    container["linux"]["resources"] = values
    return container


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
