#!/usr/bin/python3
"""A pod moves from node a to node b, and is an ordinary pod there."""
import unittest

import lab
from two_nodes import (PodTest, a, b, carry, request_for, setUpModule, tearDownModule,  # noqa: F401
                       unique)

# A shell that says again and again what its processes see.
TELLER = ["sh", "-c", "while :; do { hostname; cat /proc/sys/kernel/hostname; cat /proc/self/cgroup;"
          " } >/tmp/telling; mv /tmp/telling /tmp/said; sleep 0.05; done"]


def said(pod):
    """(host name by gethostname, host name by /proc, lines of /proc/self/cgroup) of a teller."""
    # What stands there may have been said before the cut.
    pod.exec("teller", "rm", "-f", "/tmp/said")
    lines = lab.wait_until(
        lambda: pod.exec("teller", "cat", "/tmp/said", check=False).stdout.splitlines(),
        "the teller says something")
    return lines[0], lines[1], lines[2:]


def cgroup_namespace(node, pid="self"):
    return node.shell(f"readlink /proc/{pid}/ns/cgroup").strip()


class MoveTest(PodTest):
    def test_both_containers_go_on_where_they_were(self):
        pod = self.run_pod("move", lab.container("one", "counter"),
                           lab.container("two", "memory_load 16 1 0 random 4k 4"))

        restored = self.move(pod)

        self.assertEqual(set(restored.containers), {"one", "two"})

    def test_the_source_runs_on(self):
        pod = self.run_pod("source", lab.container("one", "counter"), lab.container("two", "writer"))
        answer = self.checkpoint(pod)

        pod.wait_until_it_counts("one", beyond=10)
        self.assertFalse(answer["source_stopped"])
        self.assert_ok(pod)
        self.assertEqual({pod.state(name) for name in pod.containers}, {"running"})
        self.assertEqual(a.frozen_cgroups(), [])

    def test_a_request_file_decides_what_the_new_pod_is(self):
        containers = [lab.container("one", "counter"), lab.container("two", "counter")]
        pod = self.run_pod("file", *containers)
        before = self.reports(pod)
        archive = self.checkpoint(pod)["archive"]
        carry(archive)
        config = lab.pod(unique("renamed"), uid="uid-of-another", labels={"made": "anew"})

        restored = self.restore(archive, request=request_for(config, containers))

        self.assertEqual(restored.config["metadata"], config["metadata"])
        self.assert_all_went_on(before, restored)

    def test_containers_of_a_shared_pid_namespace_keep_their_pids(self):
        pod = self.run_pod("shared", lab.container("one", "counter"),
                           lab.container("two", "process_tree 3 2"), shared_pid=True)
        pids = {name: report["pid"] for name, report in self.reports(pod).items()}
        self.assertNotEqual(pids["one"], 1)

        restored = self.move(pod)

        self.assertEqual({name: report["pid"] for name, report in self.reports(restored).items()}, pids)
        self.assertEqual(restored.exec("one", "cat", "/proc/1/comm").stdout.strip(), "pause")

    def test_the_new_pods_host_name_wins(self):
        teller = lab.container("teller", TELLER, image=lab.BUSYBOX_IMAGE)
        containers = [teller, lab.container("other", "counter")]
        pod = self.run_pod("name", *containers)
        archive = self.checkpoint(pod)["archive"]
        carry(archive)
        config = lab.pod(unique("new-name"))

        restored = self.restore(archive, request=request_for(config, containers))

        self.assertEqual(said(restored)[:2], (config["hostname"],) * 2)
        self.assertEqual(restored.exec("other", "hostname").stdout.strip(), config["hostname"])
        self.assertEqual(said(pod)[0], pod.config["hostname"])

    def test_cgroups_look_to_a_restored_process_as_to_a_fresh_one(self):
        teller = lab.container("teller", TELLER, image=lab.BUSYBOX_IMAGE)
        restored = self.move(self.run_pod("cgroup", teller))
        fresh = self.run_pod("fresh", teller, node=b)

        def view(pod):
            """The teller's cgroups as it sees them, without what names this pod."""
            return [line.replace(pod.containers["teller"], "CONTAINER").replace(
                pod.sandbox, "SANDBOX") for line in said(pod)[2]]

        def view_of_exec(pod):
            return pod.exec("teller", "cat", "/proc/self/cgroup").stdout.splitlines()

        self.assertEqual(view(restored), view(fresh))
        self.assertEqual(said(restored)[2], view_of_exec(restored))
        has_own = [cgroup_namespace(b, pod.pid("teller")) != cgroup_namespace(b)
                   for pod in (restored, fresh)]
        self.assertEqual(has_own[0], has_own[1])
        self.assertEqual(has_own[0], b.lab.cgroup == "v2")


class OrdinaryPodTest(PodTest):
    """What a kubelet and its user do with any pod."""

    def restored(self):
        return self.move(self.run_pod("ordinary", lab.container("one", "counter")))

    def test_its_log_goes_on(self):
        pod = self.run_pod("log", lab.container("one", "counter"))
        counter = pod.report("one")["counter"]

        restored = self.move(pod)

        lines = lab.wait_until(lambda: restored.log("one")[1:], "the restored container logs")
        self.assertRegex(lines[0], r"^counter \d+$")
        self.assertGreaterEqual(int(lines[0].split()[1]), counter)

    def test_exec_runs_in_it(self):
        restored = self.restored()

        result = restored.exec("one", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)

        self.assertEqual((result.returncode, result.stdout, result.stderr), (7, "out\n", "err\n"))
        self.assertEqual(restored.exec("one", "cat", "/proc/1/comm").stdout.strip(), "counter")

    def test_a_crash_of_it_is_reported_with_its_exit_code(self):
        restored = self.restored()

        b.exec("kill", "-KILL", str(restored.pid("one")))

        restored.wait_until_ended("one")
        self.assertEqual(restored.status("one")["status"]["exit_code"], 137)

    def test_remove_leaves_nothing_of_it(self):
        pod = self.run_pod("remove", lab.container("one", "counter"), lab.container("two", "writer"))
        restored = self.move(pod)
        pids = [restored.pid(name) for name in restored.containers]

        restored.remove()

        self.assertNotIn(restored.sandbox, b.sandboxes())
        self.assertEqual(b.shell(f"ls -d /proc/{pids[0]} /proc/{pids[1]} 2>/dev/null; true"), "")
        for kind in ("/run/containerd/runc/k8s.io", "/sys/fs/cgroup"):
            self.assertEqual(b.shell(f"find {kind} -name '*{restored.containers['one']}*'"), "")

    def test_its_pod_has_an_address_of_this_node(self):
        restored = self.restored()

        addresses = restored.exec("one", "ip", "-o", "-4", "addr", "show", "eth0").stdout

        described = next(entry for entry in b.pods() if entry["id"] == restored.sandbox)
        self.assertRegex(described["ip"], r"^10\.88\.2\.")
        self.assertIn(f" {described['ip']}/", addresses)

    def test_exec_needs_no_agent(self):
        restored = self.restored()
        before = self.reports(restored)

        self.kill_agent(b)

        self.assertEqual(restored.exec("one", "echo", "here").stdout, "here\n")
        self.assert_all_went_on(before, restored)

    def test_the_inspection_of_its_archive_tells_of_the_pod(self):
        pod = self.run_pod("inspect", lab.container("one", "counter"), lab.container("two", "writer"))
        archive = self.checkpoint(pod)["archive"]
        carry(archive)

        here, there = (node.ctl_json("inspect", archive)["summary"] for node in (a, b))

        self.assertEqual(there["digest"], here["digest"])
        self.assertEqual(there["pod"], pod.config["metadata"]["name"])
        self.assertEqual(there["containers"], ["one", "two"])
        self.assertEqual(b.ctl("verify", archive).returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
