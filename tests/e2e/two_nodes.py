"""Two lab nodes whose agents run, and what most end-to-end tests do with them.

    from two_nodes import PodTest, a, b, setUpModule, tearDownModule

CRYOPOD_E2E_CGROUP says which version of cgroups the nodes have (v2), CRYOPOD_PREFIX which installed
tree they see, CRYOPOD_LAB_KEEP=1 leaves the lab standing: to look at, or for the next run.
"""
import contextlib
import json
import os
import secrets
import unittest

import lab

CGROUP = os.environ.get("CRYOPOD_E2E_CGROUP", "v2")
AGENT_LOG_LINES = 20
CONFIG = "/etc/cryopod/cryopod.toml"
HOLD_DELETED_FILE = ("exec 3>/tmp/ghost; dd if=/dev/zero bs=1M count=65 >&3 2>/dev/null;"
                     "rm /tmp/ghost; while :; do sleep 1; done")

_lab = lab.Lab(cgroup=CGROUP, name=os.environ.get("CRYOPOD_LAB_NAME"))
a, b = _lab["a"], _lab["b"]


def setUpModule():
    if not os.environ.get("CRYOPOD_LAB_KEEP"):
        unittest.addModuleCleanup(_lab.down)
    _lab.up()
    for node in (a, b):
        node.agent("restart")


def tearDownModule():
    # Whatever the tests did to it, a node must not be left with a pod that stands still.
    for node in (a, b):
        frozen = node.frozen_cgroups()
        if frozen:
            raise AssertionError(f"node {node.name} has frozen cgroups: {frozen}")


def unique(name):
    """A name that no earlier test of this lab has used."""
    return f"{name}-{secrets.token_hex(3)}"


def carry(archive, source=a, target=b):
    """Takes an archive to another node, as one file."""
    file = f"/root/{archive}.tar"
    source.ctl("export", archive, "--file", file)
    copy(source, file, target)
    target.ctl("import", file)
    for node in (source, target):
        node.exec("rm", "-f", file)


def copy(source, path, target):
    _lab.run("copy", f"{source.name}:{path}", f"{target.name}:{path}")


class PodTest(unittest.TestCase):
    """Pods that are removed when their test ends, and the way from a running one to a restored."""

    def run(self, result=None):
        problems = _problems(result)
        super().run(result)
        if _problems(result) > problems:
            for node in (a, b):
                log = node.exec("tail", "-n", str(AGENT_LOG_LINES), lab.AGENT_LOG, check=False)
                print(f"--- the end of the agent's log on node {node.name}\n{log.stdout}")

    def run_pod(self, name, *containers, node=a, **pod_options):
        """Runs containers as one pod; returns it once every workload in it says that it is ok."""
        pod = node.run_pod(lab.pod(unique(name), **pod_options), containers, handler="cryopod")
        self.remove_later(pod)
        for container in pod.containers:
            if is_workload(pod, container):
                pod.wait_for(container)
        return pod

    def run_ghost(self, *others):
        """A pod with a container "ghost" whose dump fails: it holds a deleted file of 65 MiB, of which
        up to 64 MiB are carried."""
        pod = self.run_pod("ghost", *others, lab.container("ghost", ["/bin/sh", "-c", HOLD_DELETED_FILE],
                                                           image=lab.BUSYBOX_IMAGE))
        lab.wait_until(lambda: pod.exec("ghost", "ls", "/tmp", check=False).stdout.strip() == "",
                       "the file is deleted")
        return pod

    @classmethod
    def make_origin(cls, *containers, name="origin", **pod_options):
        """For all tests of a class: `source`, a pod on node a, `before`, what its workloads have reported,
        and `archive`, made after that."""
        cls.source = a.run_pod(lab.pod(unique(name), **pod_options), containers, handler="cryopod")
        cls.addClassCleanup(cls.source.remove)
        for container in cls.source.containers:
            cls.source.wait_for(container)
        cls.before = {name: cls.source.report(name) for name in cls.source.containers}
        cls.archive = unique(name)
        a.ctl("checkpoint", cls.source.sandbox, "--archive", cls.archive)

    def checkpoint(self, pod, *options):
        """Checkpoints a pod into an archive of its own; returns what cryopodctl answers."""
        return pod.node.ctl_json("checkpoint", pod.sandbox, "--archive",
                                 unique(pod.config["metadata"]["name"]), *options)

    def restore(self, archive, node=b, request=None, options=()):
        """Restores an archive; from a request (pod, containers), or from what the archive says."""
        how = "--request-from-archive"
        if request is not None:
            node.write(f"/root/{archive}.json", json.dumps(request))
            how = f"--request=/root/{archive}.json"
        return self.answered_pod(node.ctl_json("restore", archive, how, *options), node)

    def answered_pod(self, answer, node=b):
        """The pod that an answer of `cryopodctl restore` speaks of."""
        sandbox = answer["pod_sandbox_id"]
        described = next(entry for entry in node.pods() if entry["id"] == sandbox)
        containers = {entry["name"]: entry["id"] for entry in described["containers"]}
        pod = lab.Pod(node, sandbox, containers,
                      lab.pod(described["name"], described["namespace"], described["uid"]))
        self.remove_later(pod)
        return pod

    def move(self, pod, *options, target=b):
        """Checkpoints a pod, takes the archive to another node and restores it there: all of its
        workloads go on and are ok."""
        before = self.reports(pod)
        archive = self.checkpoint(pod, *options)["archive"]
        carry(archive, pod.node, target)
        restored = self.restore(archive, target)
        self.assert_all_went_on(before, restored)
        return restored

    def kill_agent(self, node):
        node.agent("kill")
        self.addCleanup(node.agent, "restart")

    def configure_agent(self, node, text):
        """The node's agent has this configuration until the test ends."""
        before = node.shell(f"cat {CONFIG} 2>/dev/null || true")
        self.addCleanup(node.agent, "restart")
        self.addCleanup(node.write, CONFIG, before)
        node.write(CONFIG, text)
        node.agent("restart")

    def remove_later(self, pod):
        def remove():
            # A test may have removed or stopped it.
            with contextlib.suppress(lab.CommandFailed):
                pod.remove()
        self.addCleanup(remove)

    def reports(self, pod):
        """What the workloads of a pod report, by container."""
        return {name: pod.report(name) for name in pod.containers if is_workload(pod, name)}

    def assert_all_went_on(self, before, pod):
        """The containers that have given these reports go on in this pod, and are ok."""
        for name, report in before.items():
            self.assert_went_on(report, pod.report(name))
            self.assert_ok(pod, name)

    def assert_went_on(self, before, after):
        """The report `after` comes from the workload that gave `before`, later in its life."""
        self.assertEqual(after["instance"], before["instance"], "it was started cold")
        for name in ("counter", "ticks", "steps", "beats", "pages_written", "generation",
                     "received_bytes", "reaped"):
            if name in before:
                self.assertGreaterEqual(after[name], before[name], f"{name} went back")

    def assert_confined(self, status):
        """A process with these values of /proc/PID/status has no capability, and a filter of calls."""
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[capabilities], 16), 0, capabilities)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))

    def assert_ok(self, pod, *names):
        for name in names or pod.containers:
            self.assertEqual(pod.verify(name), "ok", f"container {name}")


def request_for(pod_config, containers):
    """What --request takes, for a pod of these configurations (CRI's RestorePodRequest)."""
    shared = pod_config["linux"]["security_context"]["namespace_options"]["pid"]
    containers = json.loads(json.dumps(containers))
    for container in containers:
        container["linux"]["security_context"]["namespace_options"]["pid"] = shared
    return {"config": pod_config, "container_configs": containers}


def is_workload(pod, container):
    return pod.status(container)["image"] == lab.WORKLOADS_IMAGE and \
        pod.workload(container) != "sh"


def _problems(result):
    return len(result.failures) + len(result.errors) if result is not None else 0
