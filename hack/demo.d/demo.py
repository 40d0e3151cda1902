"""The demonstration behind hack/demo: one pod of two containers moves from node a to node b."""
import argparse
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "e2e"))
sys.dont_write_bytecode = True
import lab  # noqa: E402

POD = "shop"
ARCHIVE = "demo"
MEMORY_MIB = 64


def say(text):
    print(f"==> {text}", flush=True)


class Checks:
    """Everything that must be true; the demonstration goes on to its table whatever fails."""

    def __init__(self):
        self.failed = []

    def require(self, condition, sentence):
        if not condition:
            self.failed.append(sentence)
        return "ok" if condition else "WRONG"


def run_source(node):
    source = node.run_pod(
        lab.pod(POD),
        [lab.container("counter", "counter"),
         lab.container("memory", f"memory_load {MEMORY_MIB}")],
        handler="cryopod")
    source.wait_for("counter")
    source.wait_for("memory", timeout_s=60)
    return source


def request_for(pod_name):
    """What a user writes for the new pod: the same containers under a new UID."""
    containers = [lab.container("counter", "counter"),
                  lab.container("memory", f"memory_load {MEMORY_MIB}")]
    config = lab.pod(pod_name, uid=f"uid-{pod_name}-{time.time_ns()}")
    return {"config": config, "container_configs": containers}


def checkpoint(node):
    answer = node.ctl("--output", "json", "checkpoint", f"default/{POD}", "--archive", ARCHIVE)
    return json.loads(answer.stdout)


def carry(nodes):
    nodes["a"].ctl("export", ARCHIVE, "--file", f"/root/{ARCHIVE}.tar")
    nodes.run("copy", f"a:/root/{ARCHIVE}.tar", f"b:/root/{ARCHIVE}.tar")
    nodes["b"].ctl("import", f"/root/{ARCHIVE}.tar", "--archive", ARCHIVE)


def restore(node):
    request = request_for(POD)
    node.write("/root/request.json", json.dumps(request))
    answer = json.loads(
        node.ctl("--output", "json", "restore", ARCHIVE, "--request", "/root/request.json").stdout)
    containers = {c["name"]: c["container_id"] for c in answer["containers"]}
    return lab.Pod(node, answer["pod_sandbox_id"], containers, request["config"]), answer


def table(rows):
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())


def state_rows(before, after, source, restored, checks):
    counter_ok = checks.require(
        after["counter"]["instance"] == before["counter"]["instance"]
        and after["counter"]["counter"] >= before["counter"]["counter"]
        and restored.verify("counter") == "ok",
        "the counter went on where it was")
    memory_ok = checks.require(
        after["memory"]["instance"] == before["memory"]["instance"]
        and after["memory"]["hash"] == before["memory"]["hash"]
        and restored.verify("memory") == "ok",
        "every page of the memory is the one that was checkpointed")
    return [
        ("container", "state", "before (node a)", "after (node b)", "PID on a", "PID on b", ""),
        ("counter", "counter", before["counter"]["counter"], after["counter"]["counter"],
         source.pid("counter"), restored.pid("counter"), counter_ok),
        ("memory", "hash of its pages", before["memory"]["hash"], after["memory"]["hash"],
         source.pid("memory"), restored.pid("memory"), memory_ok),
    ]


def phase_rows(result):
    return [("phase", "ms")] + [
        (phase["name"], f"{phase['duration_us'] / 1000:.1f}") for phase in result["phases"]]


def run(nodes, checks):
    for name in ("a", "b"):
        nodes[name].agent("start")
    say("a pod of two containers runs on node a")
    source = run_source(nodes["a"])
    before = {name: source.report(name) for name in source.containers}
    say("checkpointing the whole pod as one cut")
    taken = checkpoint(nodes["a"])
    say("carrying the archive to node b")
    carry(nodes)
    say("restoring it there, as a pod of the container runtime")
    restored, answer = restore(nodes["b"])
    after = {name: restored.report(name) for name in restored.containers}
    running = source.report("counter")

    print()
    table(state_rows(before, after, source, restored, checks))
    print()
    checks.require(running["counter"] > before["counter"]["counter"], "the source runs on")
    table([
        ("figure", "value"),
        ("freeze as the application saw it", f"{running['largest_gap_us'] / 1000:.1f} ms"),
        ("freeze as the agent measured it", f"{taken['freeze_us'] / 1000:.1f} ms"),
        ("captured", f"{taken['captured_bytes'] / 2**20:.1f} MiB"),
        ("archive", f"{taken['size_bytes'] / 2**20:.1f} MiB"),
        ("digest", taken["digest"]),
    ])
    print("\n  checkpoint on node a")
    table(phase_rows(taken))
    print("\n  restore on node b")
    table(phase_rows(answer))
    print()


def main():
    parser = argparse.ArgumentParser(prog="hack/demo")
    parser.add_argument("--prefix", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--cgroup", choices=("v1", "v2"), default="v2")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    arguments = parser.parse_args()
    checks = Checks()
    nodes = lab.Lab(cgroup=arguments.cgroup, name="demo", prefix=arguments.prefix)
    say(f"two nodes with containerd, runc and CRIU, cgroup {arguments.cgroup}")
    nodes.down()
    try:
        nodes.up()
        run(nodes, checks)
    finally:
        if arguments.keep:
            say("the lab stays up: CRYOPOD_LAB_NAME=demo hack/lab exec a /opt/cryopod/bin/cryopodctl list")
        else:
            nodes.down()
    for sentence in checks.failed:
        print(f"WRONG: it should be true that {sentence}")
    if not checks.failed:
        print("Every container went on where it was.")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
