"""A pod run by one CRI call after another, as a kubelet does it: with all that it does again."""
import json

import lab
from two_nodes import unique

RESTORE_FROM = "cryopod.dev/restore-from"


class Refused(AssertionError):
    """The runtime has refused a call; says which one and why."""

    def __init__(self, call, reason):
        super().__init__(f"{call}: {reason}")
        self.call = call
        self.reason = reason


class BarePod:
    """A pod that asks for a restore. Every sandbox and every container made anew has the next
    attempt number, and the pod's UID stays."""

    def __init__(self, node, restore_from, *containers, namespace="default"):
        self.node = node
        self.namespace = namespace
        self.name = unique("bare")
        self.annotations = {RESTORE_FROM: restore_from} if restore_from else {}
        self.containers = containers or (lab.container("one", "counter"),)
        self.sandboxes = []
        self.made = {container["metadata"]["name"]: [] for container in self.containers}

    @property
    def uid(self):
        return self.config()["metadata"]["uid"]

    def config(self):
        return self._config(max(0, len(self.sandboxes) - 1))

    def run_sandbox(self):
        config = self._config(len(self.sandboxes))
        self.sandboxes.append(None)
        path, _ = self.node.write_pod(config, [])
        self.sandboxes[-1] = self._call("runp", path, "--handler", "cryopod")

    def add(self, container):
        """To those that it is made with; one that is there or that is made later."""
        self.containers = (*self.containers, container)
        self.made[container["metadata"]["name"]] = []

    def create(self, name="one"):
        container = next(c for c in self.containers if c["metadata"]["name"] == name)
        attempt = len(self.made[name])
        self.made[name].append(None)
        container = json.loads(json.dumps(container))
        container["metadata"]["attempt"] = attempt
        container["annotations"]["io.kubernetes.container.restartCount"] = str(attempt)
        container["log_path"] = f"{name}/{attempt}.log"
        container = self._container(container, attempt)
        path, (container_path,) = self.node.write_pod(self.config(), [container])
        self.made[name][-1] = self._call("create", self.sandboxes[-1], path, container_path)

    def start(self, name="one"):
        self._call("start", self.made[name][-1])

    def restart(self, name="one"):
        """The container made anew in the sandbox that is there."""
        self.create(name)
        self.start(name)

    def run(self):
        """A new sandbox, and every container anew in it."""
        self.end()
        self.run_sandbox()
        for name in self.made:
            self.create(name)
        for name in self.made:
            self.start(name)

    def refusals(self):
        """What its first and its second try are told; nothing of it runs."""
        reasons = []
        for _ in range(2):
            try:
                self.run()
            except Refused as refused:
                reasons.append(refused.reason)
        if len(reasons) < 2 or self.running():
            raise AssertionError(f"not refused twice: {reasons}, and {self.running()} runs")
        return reasons

    def pod(self):
        containers = {name: ids[-1] for name, ids in self.made.items() if ids and ids[-1]}
        return lab.Pod(self.node, self.sandboxes[-1], containers, self.config())

    def report(self, name="one"):
        pod = self.pod()
        pod.wait_for(name)
        return pod.report(name)

    def crash(self, name="one"):
        pod = self.pod()
        self.node.exec("kill", "-KILL", str(pod.pid(name)))
        pod.wait_until_ended(name)

    def end(self):
        """Stops and removes what is there of it."""
        for sandbox in self.node.pods():
            if sandbox["uid"] == self.uid:
                for call in ("stopp", "rmp"):
                    self.node.exec(lab.CRI_TOOL, call, sandbox["id"], check=False)

    def running(self):
        """Names of its containers that run, whoever has started them."""
        return [container["name"] for sandbox in self.node.pods() if sandbox["uid"] == self.uid
                for container in sandbox["containers"] if container["state"] == "running"]

    def _config(self, attempt):
        return lab.pod(self.name, self.namespace, attempt=attempt, annotations=self.annotations)

    def _container(self, container, attempt):
        """The configuration of one attempt, with what is made anew for each."""
        return container

    def _call(self, *arguments):
        answer = self.node.exec(lab.CRI_TOOL, *arguments, check=False)
        if answer.returncode != 0:
            raise Refused(arguments[0], answer.stderr.strip() or f"exit code {answer.returncode}")
        return answer.stdout.strip()
