"""The lab in which a plan is measured, and what the node's half says there."""
import datetime
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "tests/e2e"))

import lab  # noqa: E402

from bench import calm, machine  # noqa: E402

LabFailed = lab.CommandFailed
NODE_FOLDER = "/root/bench"
LOAD = "memory_load"
# The node ends its half first: then there is somebody who says so.
HOST_GRACE_S = 30
NODE_CPU = ("cat /sys/fs/cgroup/cpu.stat 2>/dev/null | sed -n 's/^usage_usec \\(.*\\)/\\1 1e6/p' | "
            "grep . || sed 's/$/ 1e9/' /sys/fs/cgroup/cpuacct/cpuacct.usage")


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def told(record):
    """A record as a line of progress, or None."""
    if record["kind"] == "leg":
        figures = "frozen {freeze_ms:.0f} ms, archive after {total_s:.2f} s" \
            if record["act"] == "checkpoint" else \
            "first heartbeat after {first_heartbeat_s:.2f} s, all memory after {total_s:.2f} s"
        return (f"{record['case']}, round {record['round'] + 1}, {record['peer']}: "
                + figures.format(**record))
    if record["kind"] == "n/a":
        return f"{record['case']}: {record['peer']} cannot {record['act']}: {record['reason']}"
    return {"peaks": "peak memory is measured", "exec": "the cost of an exec is measured",
            "limits": "the machine's limits are measured"}.get(record["kind"])


class Session:
    """One run on one node. `keep` is called with every record as soon as it is there."""

    def __init__(self, node, keep):
        self._node = node
        self._keep = keep

    def prepare(self, plan):
        """Everything but the measuring; what the node is."""
        node = self._node
        node.agent("start")
        programs = node.lab.run("workloads", timeout_s=900).stdout.strip()
        node.exec("rm", "-rf", NODE_FOLDER)
        node.lab.run("copy", REPOSITORY / "tests/bench/node", f"{node.name}:{NODE_FOLDER}")
        # lab.py with what it imports: pods are described to a node as tests describe them.
        for file in (f"{programs}/{LOAD}", lab.__file__, lab.enter_node.__file__):
            node.lab.run("copy", file, f"{node.name}:{NODE_FOLDER}/{os.path.basename(file)}")
        node.write(f"{NODE_FOLDER}/plan.json", json.dumps(plan))
        return {**machine.of_host(), **machine.of_node(node.shell(machine.NODE_SCRIPT)),
                "cgroup": node.lab.cgroup, "load": f"{os.getloadavg()[0]:.1f}",
                "date": datetime.date.today().isoformat()}

    def _node_cpu_s(self):
        used, unit = self._node.shell(NODE_CPU).split()
        return int(used) / float(unit)

    def _has(self, path):
        return self._node.exec("test", "-e", path, check=False).returncode == 0

    def measure(self, deadline_s):
        """Runs the plan to its end; whether it got there."""
        ticks, cpu_s, began = calm.Ticks.now(), self._node_cpu_s(), time.monotonic()
        code = self._run(deadline_s)
        after = calm.Ticks.now()
        others = after.others_share_since(ticks, self._node_cpu_s() - cpu_s)
        self._keep({"kind": "end", "exit_code": code, "seconds": round(time.monotonic() - began),
                    "busy_reason": calm.reason_of_others(others),
                    "machine": {"criu_kernel_facts_cached": self._has(machine.KERNEL_FACTS),
                                "others_share": round(others, 4),
                                "steal_share": round(after.steal_share_since(ticks), 4)}})
        if code != 0:
            say(f"the node's half ended with exit code {code}")
        return code == 0

    def _run(self, deadline_s):
        command = f"cd {NODE_FOLDER} && exec timeout -s KILL {deadline_s} python3 -B run.py plan.json"
        with self._node.lab.start("exec", self._node.name, "sh", "-c", command,
                                  stdout=subprocess.PIPE, errors="replace") as process:
            timer = threading.Timer(deadline_s + HOST_GRACE_S, process.kill)
            timer.start()
            try:
                for line in process.stdout:
                    self._take(line)
                return process.wait(HOST_GRACE_S)
            finally:
                timer.cancel()
                process.kill()

    def _take(self, line):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            say(f"the node says: {line.rstrip()}")
            return
        self._keep(record)
        progress = told(record)
        if progress:
            say(progress)


def node_of(cgroup, prefix):
    """A lab of one node, as a context."""
    name = os.environ.get("CRYOPOD_LAB_NAME", f"bench-{cgroup}")
    return lab.Lab(cgroup, nodes=1, name=name, prefix=prefix)
