#!/usr/bin/python3
"""The workloads survive a dump and a restore by the stock runtime.

Says nothing about cryopod: it proves that what judges cryopod's restores is itself restorable, as
root and as another user, and that the lab's criu and runc do their part.
"""
import json
import os
import unittest

import lab

CGROUP = os.environ.get("CRYOPOD_E2E_CGROUP", "v2")
# What containerd gives a container that asks for nothing.
CAPABILITIES = ["CAP_" + name for name in (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE "
    "SYS_CHROOT KILL AUDIT_WRITE").split()]


class StockContainer:
    """A container of the workloads image, run by runc alone."""

    def __init__(self, node, name, command, user=0, socket=None, read_only_root=False):
        self.node, self.name, self.workload = node, name, command.split()[0]
        self.runtime = "/usr/local/sbin/runc-lab" if node.lab.cgroup == "v2" else "/usr/sbin/runc"
        self.bundle = f"/var/lib/containerd/bundles/{name}"
        node.shell(f"mkdir -p {self.bundle}/rootfs && cd {self.bundle} && {self.runtime} spec && "
                   f"ctr -n k8s.io images mount --rw {lab.WORKLOADS_IMAGE} {self.bundle}/rootfs")
        spec = json.loads(node.read(f"{self.bundle}/config.json"))
        process = spec["process"]
        process.update(terminal=False, args=command.split(), noNewPrivileges=True)
        process["env"] = ["PATH=/bin"] + ([f"WORKLOAD_SOCKET={socket}"] if socket else [])
        process["user"] = {"uid": user, "gid": user}
        process["rlimits"] = []  # the node's, as under containerd
        held = CAPABILITIES if user == 0 else []
        process["capabilities"] = {"bounding": held, "effective": held, "permitted": held}
        spec["root"]["readonly"] = read_only_root
        for namespace in spec["linux"]["namespaces"]:
            if namespace["type"] == "network":
                namespace["path"] = "/run/netns/pod"
        node.write(f"{self.bundle}/config.json", json.dumps(spec))
        self._detached("run --detach")
        lab.wait_until(lambda: self.ask("report"), f"{name} answers", 20)

    def ask(self, request):
        return self.node.exec(self.runtime, "exec", self.name, self.workload, "ask", request,
                              check=False).stdout.strip()

    def report(self):
        return json.loads(self.ask("report"))

    def checkpoint(self, leave_running=False):
        option = "--leave-running" if leave_running else ""
        self.node.shell(f"{self.runtime} checkpoint {option} --image-path {self.bundle}/images "
                        f"--work-path {self.bundle}/criu-work --file-locks {self.name} 2>&1 || "
                        f"{{ grep Error {self.bundle}/criu-work/dump.log >&2; exit 1; }}")

    def end(self):
        self.node.exec(self.runtime, "delete", "--force", self.name)

    def restore(self):
        # A failed restore leaves its reason in criu's log only.
        self._detached(f"restore --detach --image-path {self.bundle}/images "
                       f"--work-path {self.bundle}/criu-work", f"{self.bundle}/criu-work/restore.log")

    def _detached(self, command, log="/dev/null"):
        # The container keeps these descriptors; a file outside of its mounts cannot be dumped.
        self.node.shell(f"{self.runtime} --log {self.bundle}/log {command} --bundle {self.bundle} "
                        f"{self.name} </dev/null >/dev/null 2>&1 || "
                        f"{{ cat {self.bundle}/log >&2; grep Error {log} >&2; exit 1; }}")


class WorkloadsSurviveCriuTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(lab.Lab(cgroup=CGROUP, nodes=1))
        cls.node = cls.lab["a"]
        cls.node.shell("ip netns add pod && ip -n pod link set lo up")

    def survive(self, container):
        """Dumps and restores the container; it must be the same one and go on."""
        self.assertEqual(container.ask("verify"), "ok")
        before = container.report()
        container.checkpoint()
        container.restore()
        after = container.report()
        self.assertEqual(after["instance"], before["instance"])
        lab.wait_until(lambda: container.ask("verify") == "ok",
                       lambda: f"{container.name} is ok after the restore: {container.ask('verify')}")
        return before, after

    def test_counter(self):
        before, after = self.survive(StockContainer(self.node, "counter", "counter"))
        self.assertGreaterEqual(after["counter"], before["counter"])

    def test_counter_of_another_user_with_a_read_only_root(self):
        self.survive(StockContainer(self.node, "user", "counter", user=1000, socket="@counter",
                                    read_only_root=True))

    def test_memory_load(self):
        container = StockContainer(self.node, "memory", "memory_load 64 1 0 random 4k 80")
        before, after = self.survive(container)
        self.assertGreater(after["pages_written"], before["pages_written"])
        self.assertEqual(container.ask("corrupt"), "corrupted")
        self.assertIn("bad", container.ask("verify"))

    def test_process_tree(self):
        container = StockContainer(self.node, "tree", "process_tree 12 4", user=1000)
        _, after = self.survive(container)
        self.assertEqual(after["living"], 12)

    def test_signal_witness(self):
        container = StockContainer(self.node, "witness", "signal_witness")
        self.survive(container)
        self.node.exec(container.runtime, "kill", "witness", "TERM")
        lab.wait_until(lambda: container.ask("verify") == "bad: SIGTERM was seen",
                       "the restored handler runs")
        self.assertEqual(
            self.node.read(f"{container.bundle}/rootfs/data/sigterm_seen"), "SIGTERM seen\n")

    def test_writer(self):
        for user in (0, 1000):
            container = StockContainer(self.node, f"writer{user}", "writer", user=user)
            self.survive(container)
            self.assertEqual(container.ask("change"), "changed")
            self.assertEqual(container.ask("verify"), "ok")

    def test_one_instant_of_two_threads(self):
        container = StockContainer(self.node, "instant", "one_instant 32 2")
        before, after = self.survive(container)
        self.assertGreaterEqual(after["pages_checked"], before["pages_checked"] + after["pages"])
        self.assertEqual(container.ask("corrupt"), "corrupted")
        self.assertIn("bad: 1 pages of another instant", container.ask("verify"))

    # Not clocks: CRIU stops a timerfd that has expired and was not read (its issue 3162), which
    # cryopod mends. one_instant_test.py judges it.
    def test_what_is_on_its_way(self):
        for workload in ("relay", "children", "journal"):
            self.survive(StockContainer(self.node, workload, workload))

    def test_children_of_another_user_with_a_read_only_root(self):
        self.survive(StockContainer(self.node, "user-children", "children", user=1000,
                                    socket="@children", read_only_root=True))

    def test_exchange_finds_that_two_dumps_one_after_the_other_are_no_cut(self):
        listening = StockContainer(self.node, "listen", "exchange listen", socket="@listen")
        connecting = StockContainer(self.node, "connect", "exchange connect", socket="@connect")
        lab.wait_until(lambda: listening.ask("verify") == connecting.ask("verify") == "ok",
                       "both sides exchange messages")
        # As stock runtimes do it: the first container goes on while the second is dumped.
        listening.checkpoint(leave_running=True)
        connecting.checkpoint()
        listening.end()
        for container in (listening, connecting):
            container.restore()
        for container in (listening, connecting):
            lab.wait_until(lambda c=container: "violations" in c.ask("verify"),
                           f"{container.name} finds the torn cut: {container.report()}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
