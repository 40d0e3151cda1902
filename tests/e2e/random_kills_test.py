"""SIGKILL of whatever takes part in a checkpoint or a restore, at random instants: afterwards a pod is
whole, or it is gone with its archive; nothing stands still, and one start of the agent leaves nothing."""
import collections
import contextlib
import json
import os
import pathlib
import random
import sys
import unittest

import lab
from lab import wait_until
from two_nodes import unique

CGROUP = os.environ.get("CRYOPOD_E2E_CGROUP", "v2")
ROUNDS = lab.times(short=3, long=80)
CHECKPOINT_VICTIMS = ["cryopod-agent", "cryopod-checkpo", "cryopod-guard", "containerd",
                      "cryopod-agent,cryopod-checkpo", "cryopod-agent,cryopod-checkpo,cryopod-guard"]
RESTORE_VICTIMS = ["cryopod-agent", "cryopod-restore", "cryopod-unpack", "runc", "containerd",
                   "cryopod-agent,cryopod-restore"]
SHAPES = [{"count": "counter"}, {"count": "counter", "memory": "memory_load 24"}]
SCRIPT = "/root/kill_anything.py"
# What an operation takes, and some: it follows those that had ended before their kill.
LIMITS_MS = {"checkpoint": 600, "restore": 1500}


class RandomKillsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        nodes = cls.enterClassContext(lab.Lab(cgroup=CGROUP, nodes=1))
        cls.node = nodes["a"]
        cls.node.agent("start")
        for name in ("kill_anything.py", "node_watch.py"):
            cls.node.write(f"/root/{name}", pathlib.Path(__file__).with_name(name).read_text())
        cls.met = collections.Counter()
        cls.limits_ms = dict(LIMITS_MS)

    def kill(self, chance, victims, *command):
        victim = chance.choice(victims)
        limit_ms = self.limits_ms[command[0]]
        answer = self.node.exec("python3", SCRIPT, str(chance.uniform(0, limit_ms)), victim,
                                *lab.CTL.split(), *command, timeout_s=240)
        kill = json.loads(answer.stdout)
        if kill["took_ms"]:
            self.limits_ms[command[0]] = (limit_ms + kill["took_ms"]) / 2
        self.met.update(set(kill["killed"]))
        if "containerd" in kill["killed"]:
            wait_until(lambda: self.node.exec(lab.CRI_TOOL, "ps", check=False).returncode == 0,
                       "containerd is back", timeout_s=30)
        if "cryopod-agent" in kill["killed"]:
            self.node.agent("start")
            wait_until(lambda: not self.node.frozen_cgroups(), f"nothing stands still after {kill}", 60)
        self.check_nothing_is_left(kill)
        return kill

    def left(self):
        return self.node.shell("ls /run/cryopod/jobs; ls /var/lib/cryopod/archives/.partial 2>/dev/null; "
                               "ls /var/lib/cryopod/staging 2>/dev/null; grep /run/cryopod/ /proc/mounts; "
                               "find /sys/fs/cgroup -type d -path '*cryopod/*' | head -3; true").split()

    def check_nothing_is_left(self, kill):
        """By itself, or after one start of the agent."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self.left(), "nothing is left", timeout_s=10)
        if self.left():
            self.node.agent("restart")
            wait_until(lambda: not self.left(), f"nothing is left after {kill}", timeout_s=40)
        self.assertEqual(self.node.frozen_cgroups(), [], kill)
        damaged = {name: why for name, why in self.node.archives().items() if why}
        self.assertEqual(damaged, {}, kill)

    def run_pod(self, programs):
        pod = self.node.run_pod(lab.pod(unique("kills")),
                                [lab.container(*program) for program in programs.items()],
                                handler="cryopod")
        for container in pod.containers:
            pod.wait_for(container, timeout_s=60)
        return pod

    def check_is_whole(self, pod, kill):
        self.assertEqual({pod.state(name) for name in pod.containers}, {"running"}, kill)
        pod.wait_until_it_counts()
        for name in pod.containers:
            self.assertEqual(pod.verify(name), "ok", kill)

    def pod_of(self, described, config):
        return lab.Pod(self.node, described["id"],
                       {entry["name"]: entry["id"] for entry in described["containers"]}, config)

    def restore(self, archive, pod, before, chance):
        """With a kill, and then, if that left nothing of it, without one."""
        name = pod.config["metadata"]["name"]
        kill = self.kill(chance, RESTORE_VICTIMS, "restore", archive, "--request-from-archive")
        found = [entry for entry in self.node.pods() if entry["name"] == name]
        if not found:
            self.node.ctl("restore", archive, "--request-from-archive")
            found = [entry for entry in self.node.pods() if entry["name"] == name]
        self.assertEqual(len(found), 1, kill)
        restored = self.pod_of(found[0], pod.config)
        self.addCleanup(self.remove, restored)
        self.assertEqual(set(restored.containers), set(pod.containers), kill)
        self.check_is_whole(restored, kill)
        for container, report in before.items():
            self.assertEqual(restored.report(container)["instance"], report["instance"],
                             f"{container} was started cold: {kill}")

    def remove(self, pod):
        with contextlib.suppress(lab.CommandFailed):
            pod.remove()

    def kill_in_a_checkpoint_and_a_restore(self, chance):
        pod = self.run_pod(chance.choice(SHAPES))
        self.addCleanup(self.remove, pod)
        before = {name: pod.report(name) for name in pod.containers}
        archive = unique("kills")
        stop = chance.choice([[], ["--stop"]])
        kill = self.kill(chance, CHECKPOINT_VICTIMS, "checkpoint", pod.sandbox, "--archive", archive,
                         *stop)
        is_there = pod.sandbox in self.node.sandboxes()
        is_archived = archive in self.node.archives()
        if is_archived:
            self.node.ctl("verify", archive)
        if is_there:
            self.check_is_whole(pod, kill)
        else:
            self.assertTrue(stop and is_archived, kill)
        if not is_archived:
            self.node.ctl("checkpoint", pod.sandbox, "--archive", archive)
        self.remove(pod)
        self.restore(archive, pod, before, chance)
        self.node.ctl("delete", archive)

    def test_a_pod_is_whole_or_gone_with_its_archive(self):
        seed = random.randrange(1 << 30)
        chance = random.Random(seed)
        for attempt in range(ROUNDS):
            with self.subTest(seed=seed, attempt=attempt):
                self.kill_in_a_checkpoint_and_a_restore(chance)
                self.doCleanups()
        met = sum(self.met.values())
        self.assertGreater(met, 0, "no kill met anybody")
        print(f"\n{2 * ROUNDS} operations, kills that met: {dict(self.met)}; with none that did harm, less "
              f"than {300 / met:.1f} % do (95 %)", file=sys.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
