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


class TmpfsSecurityTest(RestoreAsTest):
    """What lies in /dev, which CRIU unpacks with the rights of the node."""

    def test_a_disk_of_the_node_is_not_unpacked(self):
        container = lab.container("count", "counter")  # with CAP_MKNOD
        archive = self.archive_of(container)
        self.assertGreaterEqual(forge.with_node(a, archive, "disk"), 1)

        self.check_refused(archive, container, "block device 8:0", 'at "disk"', "of a fresh container")

    def test_what_a_container_has_put_there_comes_back(self):
        source = self.run_pod("source", lab.container("count", "counter"))
        source.exec("count", "/bin/sh", "-c", MADE_IN_DEV)
        made = source.exec("count", "/bin/sh", "-c", SEEN_IN_DEV).stdout

        pod = self.restored_as(self.checkpoint(source)["archive"], lab.container("count", "counter"))

        self.assertEqual(pod.exec("count", "/bin/sh", "-c", SEEN_IN_DEV).stdout, made)


# More than the tar for CRIU packs itself, so that GNU tar does: content, holes, links and long names.
MADE_IN_DEV = """
set -e
cd /dev; mkdir -p below/$(printf 'd%.0s' $(seq 120))
dd if=/dev/urandom of=below/random bs=65536 count=64 2>/dev/null
ln below/random linked; ln -s /proc/self/fd/1 below/out; mkfifo fifo; mknod nil c 1 3
for at in $(seq 30); do dd if=/dev/zero of=holes bs=4096 count=1 seek=$((at * 7)) conv=notrunc 2>/dev/null; done
chown 70000:80000 holes; chmod 4755 below/random
"""
SEEN_IN_DEV = "cd /dev; ls -lnd below below/* fifo holes linked nil null tty fd; md5sum below/random holes"

CAP_SETGID = 6
# In a node: what a process may, by its PID, as JSON.
FACTS = r"""
import ctypes, hashlib, json, os, re, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_SECCOMP_GET_FILTER = 17, 0x4206, 0x4207, 0x420c

# What a seccomp filter answers to a system call without arguments.
def answer(program, arch, number):
    data, accumulator, at = struct.pack("=iIQ6Q", number, arch, 0, *[0] * 6), 0, 0
    while True:
        code, yes, no, k = program[at]
        at += 1
        if code == 0x20:  # load a word
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif code == 0x54:  # and
            accumulator &= k
        elif code == 0x05:  # jump
            at += k
        elif code in (0x15, 0x25, 0x35, 0x45):
            holds = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k,
                     0x45: accumulator & k != 0}[code]
            at += yes if holds else no
        elif code == 0x06:  # return
            return k
        else:
            raise ValueError(hex(code))

# The runtime makes another program of the same profile at times; its answers are the same.
def answers(code):
    program = [struct.unpack_from("=HBBI", code, at) for at in range(0, len(code), 8)]
    table = [answer(program, arch, base + number) for arch in (0xc000003e, 0x40000003)
             for base in (0, 0x40000000) for number in range(600)]
    return hashlib.sha256(repr(table).encode()).hexdigest()

# Digests of the answers of a process's seccomp filters, the oldest first.
def filters(pid):
    found = []
    assert libc.ptrace(PTRACE_SEIZE, pid, None, None) == 0, os.strerror(ctypes.get_errno())
    libc.ptrace(PTRACE_INTERRUPT, pid, None, None)
    os.waitpid(pid, 0x40000000)
    while True:
        program = ctypes.create_string_buffer(4096 * 8)
        count = libc.ptrace(PTRACE_SECCOMP_GET_FILTER, pid, len(found), program)
        if count < 0:
            break
        found.append(answers(program.raw[:count * 8]))
    libc.ptrace(PTRACE_DETACH, pid, None, None)
    return found

pid = sys.argv[1]
read = lambda name: open(f"/proc/{pid}/{name}").read()

def attr(name):
    try:
        return read("attr/" + name)
    except OSError:  # without a security module
        return ""

rights = r"^(Uid|Gid|Groups|NoNewPrivs|Cap\w+):\s*(.*)$"
mounts = [line.split() for line in read("mountinfo").splitlines()]
print(json.dumps({
    "rights": {name: sorted(value.split()) for name, value in re.findall(rights, read("status"), re.M)},
    "limits": [re.split("  +", line)[:3:2] for line in read("limits").splitlines()],
    "filters": filters(int(pid)),
    "label": attr("current"),
    "cgroup": [re.sub("[0-9a-f]{64}", "ID", line) for line in read("cgroup").splitlines()],
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

    def contexts(self):
        """Each with the source's container and the new one."""
        a.exec("mkdir", "-p", "/srv/volume", "/srv/tmp")
        a.write("/srv/profile.json", json.dumps({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["add_key"], "action": "SCMP_ACT_ERRNO"}]}))
        volume, tmp = ("/srv/volume", "/data"), ("/srv/tmp", "/tmp")
        plain = lab.container("count", "counter", default_proc_mount=True, mounts=[volume, tmp])
        more = changed(plain, supplemental_groups=[4242],
                       capabilities={"add_capabilities": ["NET_ADMIN", "SYS_PTRACE"]})
        read_only = lab.container("count", "counter", default_proc_mount=True, read_only_root=True,
                                  mounts=[(*volume, True), tmp])
        user = lab.container("count", "counter", user=1000)
        profiles = {"the runtime's": {"profile_type": lab.PROFILE_RUNTIME_DEFAULT},
                    "the node's": {"profile_type": lab.PROFILE_LOCALHOST,
                                   "localhost_ref": "/srv/profile.json"}}
        runtimes, nodes = (changed(more, seccomp=profile) for profile in profiles.values())
        return {
            "the same": (more, plain),
            "read-only": (more, read_only),
            "fewer capabilities": (more, changed(plain, capabilities={
                "drop_capabilities": ["NET_RAW", "CHOWN", "SETGID"]})),
            "no new privileges": (more, changed(plain, no_new_privs=True)),
            "other groups": (more, changed(plain, supplemental_groups=[4711])),
            "killed first": (more, resources(plain, oom_score_adj=500)),
            "the runtime's filter": (more, changed(plain, seccomp=profiles["the runtime's"])),
            "another filter": (runtimes, changed(plain, seccomp=profiles["the node's"],
                                                 no_new_privs=True)),
            "no filter": (nodes, plain),
            "as a restricted pod": (user, restricted(user)),
        }

    def test_a_restored_container_holds_what_a_fresh_one_of_its_request_does(self):
        for name, (source, new) in self.contexts().items():
            with self.subTest(new=name):
                origin = self.run_pod("source", source)
                brought = self.facts(origin)["filters"]

                restored = self.restored_as(self.checkpoint(origin)["archive"], new)

                fresh = self.run_pod(unique("fresh"), new)
                expected, found = self.facts(fresh), self.facts(restored)
                groups, found_groups = (facts["rights"].pop("Groups") for facts in (expected, found))
                # Where the live request has none, nothing that confines the processes is taken away.
                expected["filters"] = expected["filters"] or brought
                self.assertEqual(found, expected)
                # One that it has left it is not put into, and with the right it could join any.
                if int(expected["rights"]["CapEff"][0], 16) & 1 << CAP_SETGID == 0:
                    self.assertLessEqual(set(found_groups), set(groups))

    def test_after_five_generations_nothing_has_grown(self):
        container = changed(lab.container("count", "counter", default_proc_mount=True),
                            seccomp={"profile_type": lab.PROFILE_RUNTIME_DEFAULT})
        pod = self.run_pod("source", container)
        first = self.facts(pod)
        self.assertEqual(len(first["filters"]), 1)
        for generation in range(5):
            pod = self.restored_as(self.checkpoint(pod)["archive"], container)
            with self.subTest(generation=generation):
                self.assertEqual(self.facts(pod), first)


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
