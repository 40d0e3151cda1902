"""What fails leaves the pod running, no archive and a reason; what enters a pod while it is dumped is
in the archive or the archive is not made."""
import random
import sys
import threading
import unittest

import lab
from lab import wait_until
from two_nodes import PodTest, a, setUpModule, tearDownModule, unique  # noqa: F401

CHECKPOINTS = lab.times(short=4, long=15)
REFUSED, CHANGED = 5, 9
# A session in a container: leaves a trace, and says in which states it has seen the first process. Traced ("t")
# is only what a CRIU dumps, so who has seen that came in while it did.
SESSION = """
echo x >>/tmp/probe
for i in 0 1 2 3 4 5 6 7 8 9; do read -r pid name state rest </proc/1/stat; echo $state; done
"""
TRACED = "t"
# As nobody enters who goes through the runtime, whose execs a checkpoint lets wait.
ENTER = """
init=$1; shift
leaf=$(sed -n 's/^[0-9]*:freezer:/\\/sys\\/fs\\/cgroup\\/freezer/p' /proc/$init/cgroup)
[ -n "$leaf" ] && [ -d "$leaf" ] || leaf=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/$init/cgroup)
echo $$ >$leaf/cgroup.procs && exec nsenter -t $init -m -u -i -n -p -r -w "$@"
"""


class FaultTest(PodTest):
    def check_runs(self, pod):
        self.assertEqual(a.frozen_cgroups(), [])
        pod.wait_until_it_counts()

    def check_nothing_is_left(self):
        self.assertEqual(a.shell("ls /run/cryopod/jobs"), "")
        self.assertEqual(a.shell("ls /var/lib/cryopod/archives/.partial 2>/dev/null; true"), "")
        self.assertEqual(a.shell("grep /run/cryopod/ /proc/mounts; true"), "")
        self.assertEqual(a.shell("pgrep -x criu; true"), "")

    def test_a_dump_that_fails_on_the_second_container_leaves_the_pod_running(self):
        pod = self.run_ghost(lab.container("count", "counter"))
        archive = unique("second")

        answer = a.ctl("checkpoint", pod.sandbox, "--archive", archive, check=False)

        self.assertNotEqual(answer.returncode, 0)
        self.assertIn("container ghost", answer.stderr)
        self.assertIn("deleted", answer.stderr)
        self.assertNotIn(archive, a.archives())
        self.check_runs(pod)
        self.check_nothing_is_left()

    def enter(self, pod, *command):
        """From outside, into the container "memory"."""
        return a.exec("sh", "-c", ENTER, "_", str(pod.pid("memory")), *command, check=False)

    def enter_until(self, pod, stop, turn, seen):
        """Sessions that come and go at random while the pod is dumped; `seen` gets what each has seen. Whoever
        takes the `turn` waits for the one that runs."""
        chance = random.Random()
        while not stop.is_set():
            with turn:
                answer = self.enter(pod, "/bin/sh", "-c", SESSION)
                if answer.returncode == 0:
                    seen.append(set(answer.stdout.split()))
            stop.wait(chance.uniform(0.01, 0.05))

    def test_what_enters_in_mid_dump_never_yields_an_archive_without_its_task(self):
        pod = self.run_pod("probe", lab.container("count", "counter"),
                           lab.container("memory", "memory_load 256"))
        stop, turn, seen = threading.Event(), threading.Lock(), []
        prober = threading.Thread(target=self.enter_until, args=(pod, stop, turn, seen))
        prober.start()
        probed = came_in = refused = made = 0
        try:
            while made + refused < CHECKPOINTS or \
                    not (probed and came_in) and made + refused < 8 * CHECKPOINTS:
                archive = unique("probe")
                answer = a.ctl("checkpoint", pod.sandbox, "--archive", archive, check=False)
                with turn:
                    sessions, seen[:] = seen[:], []
                in_mid_dump = [session for session in sessions if TRACED in session]
                came_in += len(in_mid_dump)
                if answer.returncode == 0:
                    made += 1
                    probed += len(sessions)
                    self.check_tasks(archive)
                    if answer.stderr.count(": freeze\n") == 1:  # no try before, which they may have undone
                        self.assertEqual(in_mid_dump, [], "came in during the only try, and it made an archive")
                else:
                    refused += 1
                    self.assertRegex(answer.stderr, "exec session|started in the pod|came in")
                    self.assertNotIn("cryopodctl list", answer.stderr, "no other operation runs")
                    self.assertNotIn(archive, a.archives())
        finally:
            stop.set()
            prober.join()
        print(f"\n{made} archives made, {refused} checkpoints refused, {probed} sessions ended while one "
              f"was made, {came_in} came in while the pod was dumped", file=sys.stderr)
        self.assertGreater(probed, 0, "no session met a checkpoint that was made")
        self.assertGreater(came_in, 0, "no session came in while the pod was dumped")
        self.check_runs(pod)
        self.check_nothing_is_left()

    def test_what_came_in_during_every_try_is_named_with_what_helps(self):
        pod = self.run_pod("probe", lab.container("count", "counter"),
                           lab.container("memory", "memory_load 384"))
        # In the node itself: one after the other, without a pause that a dump could fit into.
        stop = f"/run/{unique('stop')}"
        loop = f'enter=$1; shift; until [ -e {stop} ]; do sh -c "$enter" _ "$@"; done'
        prober = threading.Thread(
            target=lambda: a.exec("timeout", "-s", "KILL", "100", "sh", "-c", loop, "_", ENTER,
                                  str(pod.pid("memory")), "/bin/sleep", "0.02",
                                  timeout_s=120, check=False))
        prober.start()
        try:
            answers = [a.ctl("checkpoint", pod.sandbox, check=False) for _ in range(CHECKPOINTS)]
            self.configure_agent(a, "[agent]\nfreeze_budget = 0\n")
            hurried = [a.ctl("checkpoint", pod.sandbox, check=False) for _ in range(CHECKPOINTS)]
        finally:
            a.exec("touch", stop)
            prober.join()

        changed = [answer.stderr for answer in answers if answer.returncode == CHANGED]
        self.assertTrue(changed, [answer.stderr for answer in answers])
        self.assertLessEqual({answer.returncode for answer in answers}, {0, CHANGED, REFUSED})
        for error in changed:
            self.assertRegex(error, r"process \d+ \(|it has ended again")
            self.assertIn("let the exec", error)
            self.assertNotIn("cryopodctl list", error)
        self.assertRegex("".join(changed), r"process \d+ \((sleep|sh|nsenter)", "none was ever caught")
        self.assertIn("tries came to nothing", "".join(changed))
        once = [answer.stderr for answer in hurried if answer.returncode == CHANGED]
        self.assertTrue(once, [answer.stderr for answer in hurried])
        self.assertEqual({error.count(": freeze\n") for error in once}, {1}, "the budget ends the tries")
        self.check_runs(pod)

    def test_a_container_that_is_started_meanwhile_is_no_part_of_any_archive(self):
        pod = self.run_pod("late", lab.container("count", "counter"),
                           lab.container("memory", "memory_load 256"))
        archive = unique("late")
        path, (late,) = a.write_pod(pod.config, [lab.container("late", "counter")])
        start = (f"until grep -q prepare /run/cryopod/jobs/*/events; do :; done; "
                 f"kill -STOP $(pgrep -x cryopod-checkpo); "
                 f"id=$({lab.CRI_TOOL} create {pod.sandbox} {path} {late}) && {lab.CRI_TOOL} start $id; "
                 f"kill -CONT $(pgrep -x cryopod-checkpo)")
        a.shell(f"(timeout -s KILL 60 sh -c '{start}') >/dev/null 2>&1 & true")

        answer = a.ctl("checkpoint", pod.sandbox, "--archive", archive, "--stop", check=False)

        self.assertEqual(answer.returncode, REFUSED, answer.stderr)
        self.assertIn("was started in the pod", answer.stderr)
        self.assertNotIn(archive, a.archives())
        self.check_runs(pod)
        self.check_nothing_is_left()

    def check_tasks(self, archive):
        checkpoint = a.ctl_json("inspect", archive)["pod_checkpoint"]
        processes = {c["name"]: c["processes"] for c in checkpoint["containers"]}
        self.assertEqual(processes, {"count": 1, "memory": 1})

    def test_an_exec_session_that_stays_is_named_and_refuses_the_checkpoint(self):
        pod = self.run_pod("session", lab.container("count", "counter"))
        session = threading.Thread(
            target=lambda: pod.exec("count", "/bin/sleep", "50", check=False))
        session.start()
        self.addCleanup(session.join)
        self.addCleanup(a.exec, "pkill", "-f", "[s]leep 50", check=False)
        wait_until(lambda: "sleep 50" in a.shell("ps ax"), "the session runs")

        answer = a.ctl("checkpoint", pod.sandbox, check=False)

        self.assertEqual(answer.returncode, REFUSED, answer.stderr)
        self.assertIn("(sleep)", answer.stderr)
        self.check_runs(pod)


if __name__ == "__main__":
    unittest.main(verbosity=2)
