"""Programs as pods: alone, and checkpointed on one node and restored on the other."""
import json
import pathlib
import random
import re
import secrets
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "e2e"))
import lab  # noqa: E402

from program_folders import HOME  # noqa: E402
from results import ALONE, DONE, FAILED, OURS, REFUSED, Run  # noqa: E402

CONTAINER = "program"
OPERATION_TIMEOUT_S = 180
PROBE_TIMEOUT_S = 30
NEVER = 3
REFUSED_EXIT_CODE = 5
AFTER_RESTORE_S = 1.0
NOT_REACHED = "failed to connect to all addresses"
UNREACHED_MAX = 4


class NotRun(Exception):
    """A program that did not come to be judged; says why."""


class Timing:
    """Seconds that a run takes at the most, and the moment of its checkpoint."""

    def __init__(self, ready_s=60, verify_s=120, window_s=3.0):
        self.ready_s = ready_s
        self.verify_s = verify_s
        self.window_s = window_s

    def moment(self):
        return random.uniform(0.0, self.window_s)


def wait_ready(execute, program, timing):
    """execute(command, timeout_s) runs in the program's container; gives exit code and output."""
    deadline = time.monotonic() + timing.ready_s
    while True:
        code, output = execute(program.probe(), PROBE_TIMEOUT_S)
        if code == 0:
            return
        said = output.strip().splitlines()[-1] if output.strip() else "nothing"
        if code == NEVER:
            raise NotRun(said)
        if time.monotonic() >= deadline:
            raise NotRun(f"not ready within {timing.ready_s} s, {said}")
        time.sleep(0.2)


def verdict(execute, program, timing):
    """Exit code and last words of the program's stop-and-verify."""
    # Beyond its own time: what the runtime and the way to it take.
    code, output = execute(program.finish(timing.verify_s), timing.verify_s + 60)
    lines = [line for line in output.strip().splitlines() if line.strip()]
    return code, lines[-1] if lines else ""


class PodRuns:
    """Runs of programs as pods on two nodes."""

    def __init__(self, source, target, timing):
        self._source, self._target = source, target
        self._timing = timing

    def alone(self, program, image):
        run = Run(program.name, ALONE)
        pod = None
        try:
            pod = self._start(program, image)
            time.sleep(self._timing.window_s)
            run.verdict, run.says = verdict(execute_in(pod), program, self._timing)
        except (NotRun, lab.CommandFailed) as error:
            run.reason = first_line(error)
        finally:
            remove(pod)
        return run

    def checkpointed(self, program, image, number):
        """One checkpoint under load at a random moment; the source ends with it, or runs on and is
        judged as well, in turn."""
        run = Run(program.name, OURS, number, after_s=round(self._timing.moment(), 3))
        pod = restored = None
        archive = f"foreign-{program.slug}-{secrets.token_hex(3)}"
        try:
            pod = self._start(program, image)
            time.sleep(run.after_s)
            stop = number % 2 == 0
            if self._checkpoint(run, pod, archive, stop):
                restored = self._restore(run, pod, archive)
            if restored is not None:
                time.sleep(AFTER_RESTORE_S)
                run.verdict, run.says = verdict(execute_in(restored), program, self._timing)
                if not stop:
                    run.source_verdict, run.source_says = \
                        verdict(execute_in(pod), program, self._timing)
        except (NotRun, lab.CommandFailed) as error:
            run.reason = first_line(error)
        finally:
            remove(pod)
            remove(restored)
            for node in (self._source, self._target):
                node.ctl("delete", archive, check=False)
        return run

    def _start(self, program, image):
        name = f"{program.slug}-{secrets.token_hex(3)}"
        reference, uid, gid = image
        container = lab.container(CONTAINER, program.supervise(), image=reference, user=uid,
                                  env={"HOME": HOME})
        container["linux"]["security_context"]["run_as_group"] = {"value": gid}
        pod = once_reached(lambda: self._source.run_pod(lab.pod(name), [container],
                                                        handler="cryopod"))
        pod.container = container
        try:
            wait_ready(execute_in(pod), program, self._timing)
        except BaseException:
            remove(pod)
            raise
        return pod

    def _checkpoint(self, run, pod, archive, stop):
        options = ["--stop"] if stop else []
        answer = once_reached(lambda: pod.node.ctl(
            "checkpoint", pod.sandbox, "--archive", archive, *options, check=False,
            timeout_s=OPERATION_TIMEOUT_S))
        if answer.returncode == 0:
            run.checkpoint = DONE
            return True
        run.reason = ctl_reason(answer)
        # CRIU's own refusal, where its words are not known.
        refused = answer.returncode == REFUSED_EXIT_CODE or "CRIU failed:" in run.reason
        run.checkpoint = REFUSED if refused else FAILED
        return False

    def _restore(self, run, pod, archive):
        file = f"/root/{archive}.tar"
        once_reached(lambda: self._source.ctl("export", archive, "--file", file,
                                              timeout_s=OPERATION_TIMEOUT_S))
        self._source.lab.run("copy", f"{self._source.name}:{file}", f"{self._target.name}:{file}",
                             timeout_s=OPERATION_TIMEOUT_S)
        once_reached(lambda: self._target.ctl("import", file, timeout_s=OPERATION_TIMEOUT_S))
        for node in (self._source, self._target):
            node.exec("rm", "-f", file)
        config = lab.pod(pod.config["metadata"]["name"], uid=f"uid-{secrets.token_hex(6)}")
        self._target.write(f"/root/{archive}.json", json.dumps(
            {"config": config, "container_configs": [pod.container]}))
        answer = once_reached(lambda: self._target.ctl(
            "--output", "json", "restore", archive, "--request", f"/root/{archive}.json",
            check=False, timeout_s=OPERATION_TIMEOUT_S))
        self._target.exec("rm", "-f", f"/root/{archive}.json")
        if answer.returncode != 0:
            run.restore, run.reason = FAILED, ctl_reason(answer)
            return None
        run.restore = DONE
        described = json.loads(answer.stdout)
        containers = {c["name"]: c["container_id"] for c in described["containers"]}
        return lab.Pod(self._target, described["pod_sandbox_id"], containers, config)


def once_reached(call):
    """What call() gives, or raises, when a daemon was reached. One on a machine whose processors are
    all taken may not be at first: nothing was asked of it then, and nothing is known of the program.
    """
    for _ in range(UNREACHED_MAX):
        try:
            answer = call()
            said = getattr(answer, "stderr", "")
        except lab.CommandFailed as error:
            answer, said = error, str(error)
        if NOT_REACHED not in said:
            break
    if isinstance(answer, lab.CommandFailed):
        raise answer
    return answer


def execute_in(pod):
    def execute(command, timeout_s):
        answer = once_reached(lambda: pod.node.exec(
            lab.CRI_TOOL, "--timeout", str(timeout_s), "exec", pod.containers[CONTAINER], *command,
            check=False, timeout_s=timeout_s + 60))
        if answer.stderr.startswith("cri-tool: "):
            raise NotRun(answer.stderr.strip())
        return answer.returncode, answer.stdout + answer.stderr
    return execute


def remove(pod):
    if pod is None:
        return
    for call in ("stopp", "rmp"):
        pod.node.exec(lab.CRI_TOOL, call, pod.sandbox, check=False)


def ctl_reason(answer):
    lines = [line for line in answer.stderr.splitlines() if line.startswith("cryopodctl: ")]
    if lines:
        # Without what it was about, which the row says.
        words = lines[0].removeprefix("cryopodctl: ")
        words = re.sub(r"^checkpoint \w+: checkpointing pod \S+: ", "", words)
        return re.sub(rf"^.*?(dumping container|container) {CONTAINER}: ", "", words)
    return (answer.stderr.strip() or f"exit code {answer.returncode}").splitlines()[-1]


def first_line(error):
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if isinstance(error, NotRun) else lines[-1]
