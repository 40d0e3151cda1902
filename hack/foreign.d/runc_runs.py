"""The same programs under plain `runc checkpoint` and `runc restore`, on one node, without cryopod."""
import json
import re
import secrets
import time

from pod_runs import (AFTER_RESTORE_S, OPERATION_TIMEOUT_S, NotRun, first_line, lab, verdict,
                      wait_ready)
from program_folders import HOME
from program_images import PATH
from results import DONE, FAILED, REFUSED, RUNC, Run

BUNDLES = "/var/lib/containerd/foreign-bundles"
CRIU_CONFIG = "/root/foreign-criu.conf"
# What cryopod asks of CRIU and runc has no flag for.
CRIU_OPTIONS = "tcp-close\nskip-in-flight\nforce-irmap\nghost-limit 67108864\n"
# What containerd gives a container that asks for nothing.
CAPABILITIES = ["CAP_" + name for name in (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE "
    "SYS_CHROOT KILL AUDIT_WRITE").split()]


class RuncRuns:
    """Runs of programs under the node's own runc."""

    def __init__(self, node, timing):
        self._node, self._timing = node, timing
        self._runtime = "/usr/local/sbin/runc-lab" if node.lab.cgroup == "v2" else "/usr/sbin/runc"
        node.write(CRIU_CONFIG, CRIU_OPTIONS)

    def checkpointed(self, program, image, number):
        run = Run(program.name, RUNC, number, after_s=round(self._timing.moment(), 3))
        container = _Container(self._node, self._runtime, program, image)
        try:
            container.run()
            wait_ready(container.execute, program, self._timing)
            time.sleep(run.after_s)
            run.checkpoint, run.reason = container.checkpoint()
            if run.checkpoint == DONE:
                run.restore, run.reason = container.restore()
            if run.restore == DONE:
                time.sleep(AFTER_RESTORE_S)
                run.verdict, run.says = verdict(container.execute, program, self._timing)
        except (NotRun, lab.CommandFailed) as error:
            run.reason = first_line(error)
        finally:
            container.remove()
        return run


class _Container:
    def __init__(self, node, runtime, program, image):
        self._node, self._runtime, self._program = node, runtime, program
        self._image, self._uid, self._gid = image
        self._name = f"foreign-{program.slug}-{secrets.token_hex(3)}"
        self._bundle = f"{BUNDLES}/{self._name}"

    def run(self):
        self._node.shell(
            f"mkdir -p {self._bundle}/rootfs && cd {self._bundle} && {self._runtime} spec && "
            f"ctr -n k8s.io images mount --rw {self._image} {self._bundle}/rootfs >/dev/null && "
            f"ip netns add {self._name} && ip -n {self._name} link set lo up")
        spec = json.loads(self._node.read(f"{self._bundle}/config.json"))
        self._configure(spec)
        self._node.write(f"{self._bundle}/config.json", json.dumps(spec))
        problem = self._detached("run --detach", "log")
        if problem:
            raise NotRun(f"runc run: {problem}")

    def execute(self, command, timeout_s):
        answer = self._node.exec(self._runtime, "exec", self._name, *command, check=False,
                                 timeout_s=timeout_s + 10)
        if answer.returncode != 0 and "level=error" in answer.stderr:
            raise NotRun(f"runc exec: {last_line(answer.stderr)}")
        return answer.returncode, answer.stdout + answer.stderr

    def checkpoint(self):
        """Returns (what became of it, why)."""
        answer = self._runc(f"checkpoint --image-path {self._bundle}/images --work-path "
                            f"{self._bundle}/criu --file-locks {self._name}")
        if answer.returncode == 0:
            return DONE, ""
        return REFUSED, self._criu_reason("dump.log") or last_line(answer.stderr)

    def restore(self):
        problem = self._detached(f"restore --detach --image-path {self._bundle}/images "
                                 f"--work-path {self._bundle}/criu --file-locks", "log")
        return (FAILED, self._criu_reason("restore.log") or problem) if problem else (DONE, "")

    def remove(self):
        """Whatever is there of it; nothing that fails here keeps the next run from its own."""
        self._node.exec("sh", "-c",
                        f"{self._runtime} delete --force {self._name}; ip netns del {self._name}; "
                        f"ctr -n k8s.io images unmount --rm {self._bundle}/rootfs; "
                        f"rm -rf --one-file-system {self._bundle}", check=False)

    def _configure(self, spec):
        held = CAPABILITIES if self._uid == 0 else []
        spec["process"].update(
            terminal=False, args=self._program.supervise(), cwd=HOME,
            noNewPrivileges=False, env=[PATH, f"HOME={HOME}"],
            user={"uid": self._uid, "gid": self._gid, "additionalGids": [self._gid]},
            capabilities={"bounding": CAPABILITIES, "effective": held, "permitted": held})
        spec["process"].pop("rlimits", None)
        spec["root"]["readonly"] = False
        spec["annotations"] = {"org.criu.config": CRIU_CONFIG}
        for namespace in spec["linux"]["namespaces"]:
            if namespace["type"] == "network":
                namespace["path"] = f"/run/netns/{self._name}"

    def _detached(self, command, log):
        # The container keeps these descriptors; a file outside of its mounts cannot be dumped.
        answer = self._runc(f"--log {self._bundle}/{log} {command} --bundle {self._bundle} "
                            f"{self._name} </dev/null >/dev/null 2>&1")
        if answer.returncode == 0:
            return ""
        said = self._node.exec("tail", "-n", "1", f"{self._bundle}/{log}", check=False).stdout
        return last_line(said) or f"exit code {answer.returncode}"

    def _runc(self, words):
        return self._node.exec("sh", "-c", f"cd {self._bundle} && {self._runtime} {words}",
                               check=False, timeout_s=OPERATION_TIMEOUT_S)

    def _criu_reason(self, log):
        # The first one is the cause; but a lab may not raise limits, which harms nothing.
        answer = self._node.exec("sh", "-c", f"grep Error {self._bundle}/criu/{log} | "
                                 "grep -v 'setup RLIMIT_NOFILE for self' | head -n 1", check=False)
        words = answer.stdout.strip()
        return f"CRIU: {words.split('): ', 1)[-1]}" if words else ""


def last_line(text):
    """Of runc's words; a log line of its own without the time, which differs in every run."""
    last = (text.strip().splitlines() or [""])[-1]
    found = re.search(r'msg="(.*)"$', last)
    return found[1].replace('\\"', '"') if found else last
