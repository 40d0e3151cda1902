"""SIGKILL of the agent, of cryopod-checkpoint, and of both, at every stage and at random instants:
the pod runs on, nothing stays frozen, nothing is left, and nothing half is ever visible.

A kill that comes too late for its stage, or for its victims, is checked like any other, and repeated."""
import contextlib
import json
import os
import pathlib
import random
import unittest

import lab
from lab import wait_until

CGROUP = os.environ.get("CRYOPOD_E2E_CGROUP", "v2")
STAGES = ["resolve", "preflight", "prepare", "freeze", "dump", "thaw", "archive", "commit"]
if lab.SHORT and CGROUP == "v1":
    # All of them are met on v2.
    STAGES = ["preflight", "freeze", "dump", "archive"]
# Nobody of the operation is left who could let the pod go.
ALONE_STAGES = ["dump"] if lab.SHORT else ["dump", "thaw"]
# The file is the decision: from then on the source ends.
STOP_KILLS = [("checkpoint", "stopping.json"), ("all", "stopping.json")] if lab.SHORT else \
    [(victims, stage) for victims in ("checkpoint", "both", "all")
     for stage in ("stop", "stopping.json")]
RANDOM_KILLS = lab.times(short=3, long=20)
ATTEMPTS = 6
VICTIMS = {"agent": ["agent"], "checkpoint": ["checkpoint"], "both": ["agent", "checkpoint"],
           "all": ["agent", "checkpoint", "guard"]}
THAW_S = 2.0
SCRIPT = "/root/kill_at_stage.py"

nodes = None


def setUpModule():
    global nodes
    nodes = unittest.enterModuleContext(lab.Lab(cgroup=CGROUP, nodes=1))
    for name in ("kill_at_stage.py", "node_watch.py"):
        nodes["a"].write(f"/root/{name}", pathlib.Path(__file__).with_name(name).read_text())


class KillTest(unittest.TestCase):
    def setUp(self):
        self.node = nodes["a"]
        self.node.agent("start")
        self.run_pod(f"kill-{id(self)}", count="counter", memory="memory_load 48")
        self.kills = 0

    def tearDown(self):
        with contextlib.suppress(lab.CommandFailed):
            self.pod.remove()
        self.node.lab.run("agent", "a", "stop", check=False)

    def kill(self, victims, stage, delay_ms=0.0, options=()):
        self.kills += 1
        archive = f"kill-{id(self)}-{self.kills}"
        name = self.pod.config["metadata"]["name"]
        answer = self.node.exec("python3", SCRIPT, f"default/{name}", archive, victims, stage,
                                str(delay_ms), *options, timeout_s=120)
        return archive, json.loads(answer.stdout)

    def kill_until_hit(self, victims, stage, attempt):
        """`attempt` kills, checks and returns what the kill was, until one has met all victims alive and
        in this stage."""
        kills = []
        for _ in range(ATTEMPTS):
            kills.append(attempt())
            if kills[-1]["killed"] == VICTIMS[victims] and stage in ("any", kills[-1]["stage"]):
                return
        self.fail(f"{victims} was never killed in stage {stage}, only: "
                  f"{[(kill['killed'], kill['stage']) for kill in kills]}")

    def check_pod_runs(self, kill):
        """Thawed within 2 s, or within 2 s of the end of the last CRIU; and it counts."""
        if kill["frozen_s"] is not None:
            limit = THAW_S + (kill["criu_s"] or 0)
            self.assertLess(kill["frozen_s"], limit, kill)
        self.assertEqual(self.node.frozen_cgroups(), [], kill)
        self.pod.wait_until_it_counts()
        self.assertEqual(self.pod.verify("memory"), "ok", kill)

    def check_nothing_is_left(self, kill):
        wait_until(lambda: self.node.shell("ls /run/cryopod/jobs").split() == [],
                   f"no job is left after {kill}", timeout_s=30)
        self.assertEqual(self.node.shell("ls /var/lib/cryopod/archives/.partial 2>/dev/null; true"),
                         "", kill)
        self.assertEqual(self.node.shell("grep /run/cryopod/ /proc/mounts; true"), "", kill)
        self.assertEqual(
            self.node.shell("find /sys/fs/cgroup -type d -path '*cryopod/*' | head -1"), "", kill)

    def kill_and_check(self, victims, stage, delay_ms=0.0):
        archive, kill = self.kill(victims, stage, delay_ms)
        if "guard" not in kill["killed"]:
            self.check_pod_runs(kill)
        if "agent" in kill["killed"]:
            self.node.agent("start")
        self.check_nothing_is_left(kill)
        archives = self.node.archives()
        self.assertEqual({damage for damage in archives.values()} - {""}, set(), kill)
        if archive in archives:
            self.node.ctl("verify", archive)
        if "checkpoint" not in kill["killed"]:
            self.assertIn(archive, archives, f"the checkpoint commits without the agent: {kill}")
        elif kill["stage"] != "commit":
            self.assertNotIn(archive, archives, kill)
            self.assertNotEqual(kill["exit_code"], 0, kill)
        if victims == "checkpoint":
            self.assertIn("runs on", kill["output"], kill)
        self.check_pod_runs(kill)
        return kill

    def check_kills_at_every_stage(self, victims, stages=STAGES):
        for stage in stages:
            with self.subTest(stage=stage):
                self.kill_until_hit(victims, stage, lambda s=stage: self.kill_and_check(victims, s))

    def test_an_agent_killed_at_any_stage_leaves_a_checkpoint_that_commits(self):
        self.check_kills_at_every_stage("agent")

    def test_a_checkpoint_process_killed_at_any_stage_leaves_a_running_pod_and_nothing_else(self):
        self.check_kills_at_every_stage("checkpoint")

    def test_both_killed_at_any_stage_leave_a_running_pod_and_nothing_after_the_next_start(self):
        self.check_kills_at_every_stage("both")

    def test_a_pod_whose_guard_was_killed_too_is_let_go_by_the_next_agent(self):
        self.check_kills_at_every_stage("all", ALONE_STAGES)

    def run_pod(self, name, **programs):
        self.pod = self.node.run_pod(
            lab.pod(name), [lab.container(*program) for program in programs.items()], handler="cryopod")
        for container in self.pod.containers:
            self.pod.wait_for(container, timeout_s=60)

    def is_there(self):
        return self.pod.sandbox in self.node.sandboxes()

    def check_source_has_ended_or_runs(self, archive, kill):
        """All of it, and it has ended where the decision had been made."""
        if not self.is_there():
            self.node.ctl("verify", archive)
            return
        self.assertNotEqual(kill["exit_code"], 0, kill)
        for name in self.pod.containers:
            self.pod.wait_until_it_counts(name)
        self.pod.remove()

    def kill_and_check_stop(self, victims, stage):
        self.run_pod(f"stop-{id(self)}-{self.kills}", one="counter", two="counter")
        archive, kill = self.kill(victims, stage, options=["--stop"])
        if "agent" in kill["killed"]:
            self.node.agent("start")
        self.check_nothing_is_left(kill)
        self.assertEqual(self.node.frozen_cgroups(), [], kill)
        if kill["stage"] == "stopping.json":
            self.assertFalse(self.is_there(), kill)
        self.check_source_has_ended_or_runs(archive, kill)
        return kill

    def test_a_kill_while_the_source_is_stopped_leaves_all_of_it_or_nothing(self):
        self.pod.remove()
        for victims, stage in STOP_KILLS:
            with self.subTest(victims=victims, stage=stage):
                self.kill_until_hit(victims, stage,
                                    lambda v=victims, s=stage: self.kill_and_check_stop(v, s))

    def test_kills_at_random_instants_leave_a_running_pod(self):
        seed = random.randrange(1 << 30)
        chance = random.Random(seed)
        for attempt in range(RANDOM_KILLS):
            victims = ("agent", "checkpoint", "both")[attempt % 3]
            with self.subTest(seed=seed, attempt=attempt, victims=victims):
                # A machine may be done with all of it before the first instants: each miss halves them.
                limits_ms = (400 / 2 ** miss for miss in range(ATTEMPTS))
                self.kill_until_hit(victims, "any", lambda v=victims, limits=limits_ms:
                                    self.kill_and_check(v, "any", chance.uniform(0, next(limits))))


if __name__ == "__main__":
    unittest.main(verbosity=2)
