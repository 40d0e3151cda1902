#!/usr/bin/python3
"""What a real Prometheus knows of two nodes after one success and one failure of each kind."""
import json
import subprocess
import time
import unittest

import lab
import prometheus
import two_nodes
from bare_pod import BarePod, Refused
from layout import CRIU_IMAGES, Layout
from two_nodes import PodTest, a, b, carry, request_for, tearDownModule, unique  # noqa: F401

SERVER = None
# Stops the operation's process as soon as its source is held and the archive is being written.
STOP_WHEN_HELD = """
while ! grep -q '"archive"' /run/cryopod/jobs/c-*/events 2>/dev/null; do :; done
pid=$(sed 's/.*"pid":\\([0-9]*\\).*/\\1/' /run/cryopod/jobs/c-*/process.json)
kill -STOP "$pid" && echo "$pid"
"""


def setUpModule():
    global SERVER
    two_nodes.setUpModule()
    for node in (a, b):
        node.lab.run("gateway", node.name, "start")
    SERVER = unittest.enterModuleContext(prometheus.Prometheus([a, b]))


class MetricsTest(PodTest):
    def value(self, name, node=a, **labels):
        labels = ", ".join(f'{key}="{value}"' for key, value in
                           {"node": node.name, **labels}.items())
        return SERVER.value(f"cryopod_{name}{{{labels}}}")

    def operations(self, kind, result, node=a):
        return self.value(f"pod_{kind}_operations_total", node, result=result)

    def errors(self, kind, reason, node=a):
        return self.value("runtime_operations_errors_total", node,
                          operation_type=f"{kind}_pod", reason=reason)

    def last_success(self, kind, node=a):
        return self.value("last_success_timestamp_seconds", node, operation_type=f"{kind}_pod")

    def running(self, kind, node=a):
        return self.value("operations_running", node, operation_type=f"{kind}_pod")

    def wait_for_one_more(self, kind, result, before, node=a):
        lab.wait_until(lambda: self.operations(kind, result, node) == before + 1,
                       lambda: f"one more {kind} with {result} than {before} is counted on node "
                       f"{node.name}, there are {self.operations(kind, result, node)}", 20, 0.2)
        self.assertEqual(self.running(kind, node), 0)

    def assert_counted_as(self, kind, reason, act, node=a):
        """`act` fails, and is one failure more with this reason, and nothing else."""
        before = [self.operations(kind, result, node) for result in ("success", "failure")]
        of_reason = self.errors(kind, reason, node)
        last = self.last_success(kind, node)

        act()

        self.wait_for_one_more(kind, "failure", before[1], node)
        self.assertEqual(self.operations(kind, "success", node), before[0])
        self.assertEqual(self.errors(kind, reason, node), of_reason + 1,
                         SERVER.query(f'cryopod_runtime_operations_errors_total{{node="{node.name}"}}'))
        self.assertEqual(self.last_success(kind, node), last)
        self.assertEqual(self.value("pods_frozen", node), 0)

    def assert_ctl_fails(self, node, *arguments):
        answer = node.ctl(*arguments, check=False, timeout_s=120)
        self.assertNotEqual(answer.returncode, 0, answer.stdout)


class CheckpointTest(MetricsTest):
    def test_a_success(self):
        pod = self.run_pod("good", lab.container("one", "counter"),
                           lab.container("two", "memory_load 16"))
        names = ("pod_checkpoint_freeze_seconds_count", "pod_checkpoint_duration_seconds_count",
                 "pod_checkpoint_size_bytes_count", "pod_checkpoint_captured_bytes_count")
        sums = ("pod_checkpoint_size_bytes_sum", "pod_checkpoint_captured_bytes_sum",
                "pod_checkpoint_freeze_seconds_sum")
        before = {name: self.value(name) for name in names + sums}
        dumps = self.value("container_dump_phase_duration_seconds_count", phase="frozen")
        held = [self.value(name, namespace="default") for name in ("archives", "archives_bytes")]
        successes = self.operations("checkpoint", "success")
        began = time.time()

        answer = self.checkpoint(pod)

        self.wait_for_one_more("checkpoint", "success", successes)
        for name in names:
            self.assertEqual(self.value(name), before[name] + 1, name)
        grown = {name: self.value(name) - before[name] for name in sums}
        self.assertEqual(grown["pod_checkpoint_size_bytes_sum"], answer["size_bytes"])
        self.assertEqual(grown["pod_checkpoint_captured_bytes_sum"], answer["captured_bytes"])
        self.assertAlmostEqual(grown["pod_checkpoint_freeze_seconds_sum"],
                               answer["freeze_us"] / 1e6, 5)
        self.assertEqual(self.value("container_dump_phase_duration_seconds_count", phase="frozen"),
                         dumps + 2)
        self.assertEqual(self.value("archives", namespace="default"), held[0] + 1)
        self.assertEqual(self.value("archives_bytes", namespace="default"),
                         held[1] + answer["size_bytes"])
        self.assertGreaterEqual(self.last_success("checkpoint"), began - 1)
        self.assertGreaterEqual(
            self.value("pod_checkpoint_phase_duration_seconds_count", phase="dump"), 1)
        self.assertEqual(self.value("pods_frozen"), 0)

    def test_a_pod_that_does_not_exist(self):
        self.assert_counted_as("checkpoint", "not_found", lambda: self.assert_ctl_fails(
            a, "checkpoint", "default/nothing"))

    def test_a_refusal_freezes_nothing(self):
        pod = self.run_pod("content", lab.container("one", "counter"),
                           lab.container("two", ["sleep", "1000"], image=lab.BUSYBOX_IMAGE))
        pod.exec("two", "sh", "-c", "echo text >/dev/shm/file")
        freezes = self.value("pod_checkpoint_freeze_seconds_count")

        self.assert_counted_as("checkpoint", "content_not_carried", lambda: self.assert_ctl_fails(
            a, "checkpoint", pod.sandbox))

        self.assertEqual(self.value("pod_checkpoint_freeze_seconds_count"), freezes)

    def test_what_criu_refuses_has_been_frozen(self):
        pod = self.run_ghost(lab.container("one", "counter"))
        freezes = self.value("pod_checkpoint_freeze_seconds_count")
        archives = self.value("pod_checkpoint_size_bytes_count")

        self.assert_counted_as("checkpoint", "deleted_file", lambda: self.assert_ctl_fails(
            a, "checkpoint", pod.sandbox))

        self.assertEqual(self.value("pod_checkpoint_freeze_seconds_count"), freezes + 1)
        self.assertEqual(self.value("pod_checkpoint_size_bytes_count"), archives)


class HeldTest(MetricsTest):
    def test_a_source_that_is_held_is_frozen_also_to_the_next_agent(self):
        pod = self.run_pod("held", lab.container("one", "counter"),
                           lab.container("two", "memory_load 64"))
        stopper = self.in_node(a, "sh", "-c", STOP_WHEN_HELD)
        checkpoint = self.in_node(a, lab.CTL, "checkpoint", pod.sandbox, "--stop")
        pid = stopper.communicate(timeout=60)[0].strip()
        self.addCleanup(a.exec, "kill", "-CONT", pid, check=False)

        SERVER.wait_for('cryopod_pods_frozen{node="a"}', lambda value: value == 1)
        self.assertEqual(self.running("checkpoint"), 1)
        a.agent("kill")
        a.agent("start")
        began = time.time()
        for family, value in (("pods_frozen", 1), ("operations_running", 1)):
            series = f'cryopod_{family}{{node="a", operation_type!="restore_pod"}}'
            SERVER.wait_for(f"{series} and timestamp({series}) > {began}", lambda seen: seen == value)
        SERVER.wait_for('cryopod_pods_frozen_longest_seconds{node="a"}', lambda value: value > 2)

        a.exec("kill", "-CONT", pid)

        checkpoint.wait(60)
        SERVER.wait_for('cryopod_pods_frozen{node="a"}', lambda value: value == 0)
        # Counters of the next agent begin anew.
        SERVER.wait_for('cryopod_pod_checkpoint_operations_total{node="a", result="success"}',
                        lambda value: value == 1)
        self.assertEqual(self.running("checkpoint"), 0)

    def in_node(self, node, *command):
        process = node.lab.start("exec", node.name, *command, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, 60)
        return process


class RestoreTest(MetricsTest):
    @classmethod
    def setUpClass(cls):
        cls.make_origin(lab.container("one", "counter"))
        carry(cls.archive)

    def test_a_success(self):
        successes = self.operations("restore", "success", b)
        durations = self.value("pod_restore_duration_seconds_count", b)
        began = time.time()

        self.restore(self.archive)

        self.wait_for_one_more("restore", "success", successes, b)
        self.assertEqual(self.value("pod_restore_duration_seconds_count", b), durations + 1)
        self.assertGreaterEqual(self.last_success("restore", b), began - 1)
        self.assertGreaterEqual(
            self.value("pod_restore_phase_duration_seconds_count", b, phase="restore"), 1)

    def test_a_pod_of_the_kubelets_counts_too(self):
        pod = BarePod(b, self.archive)
        self.addCleanup(pod.end)
        successes = self.operations("restore", "success", b)

        pod.run()

        self.wait_for_one_more("restore", "success", successes, b)

    def test_a_pod_of_the_kubelets_that_is_refused(self):
        pod = BarePod(b, "nothing")
        self.addCleanup(pod.end)

        def run():
            with self.assertRaises(Refused):
                pod.run()

        self.assert_counted_as("restore", "not_found", run, b)

    def test_an_archive_that_does_not_exist(self):
        self.assert_counted_as("restore", "not_found", lambda: self.assert_ctl_fails(
            b, "restore", "nothing", "--request-from-archive"), b)

    def test_a_damaged_archive(self):
        archive = Layout(b, self.archive).copy(unique("damaged"))
        self.addCleanup(archive.remove)
        archive.flip_a_bit(archive.blob(CRIU_IMAGES))

        self.assert_counted_as("restore", "archive_damaged", lambda: self.assert_ctl_fails(
            b, "restore", archive.name, "--request-from-archive"), b)

    def test_a_reason_that_only_the_restore_knows(self):
        """Processes of root do not come back into a pod of another user."""
        restricted = [lab.container("one", "counter", user=1000, restricted=True)]
        b.write("/root/restricted.json", json.dumps(request_for(self.source.config, restricted)))

        self.assert_counted_as("restore", "security_context", lambda: self.assert_ctl_fails(
            b, "restore", self.archive, "--request=/root/restricted.json"), b)


class NodeTest(MetricsTest):
    def test_the_text_is_as_prometheus_wants_it(self):
        for node in (a, b):
            self.assertEqual(prometheus.check_metrics(prometheus.scrape(node)), "", node.name)

    def test_no_series_names_a_pod_or_an_archive(self):
        pod = self.run_pod("anonymous", lab.container("a-container-name", "counter"))
        archive = self.checkpoint(pod)["archive"]

        text = prometheus.scrape(a)

        for name in (pod.config["metadata"]["name"], archive, "a-container-name"):
            self.assertNotIn(name, text)

    def test_node_and_versions_are_known(self):
        for node in (a, b):
            info = node.ctl_json("node")
            for expression in (
                    f'cryopod_criu_info{{node="{node.name}", version="{info["criu_version"]}"}}',
                    f'cryopod_runtime_info{{node="{node.name}", name="containerd"}}',
                    f'cryopod_node_info{{node="{node.name}", kernel="{info["kernel"]}",'
                    f' cgroup="{info["cgroup_version"]}"}}',
                    f'cryopod_build_info{{node="{node.name}", version="{info["agent_version"]}"}}'):
                self.assertEqual(SERVER.value(expression), 1, expression)
            self.assertEqual(self.value("node_problems", node), 0)
            self.assertGreater(self.value("store_size_bytes", node), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
