"""Pods of loads on this node's containerd, through CRI."""
import json
import pathlib

import lab
import load
import measure
from commands import CRI_TOOL, run, run_json

HOME = pathlib.Path("/var/lib/containerd/bench")
SOURCE_IMAGE = lab.WORKLOADS_IMAGE


def pod_config(name):
    return lab.pod(name, "bench")


def container_configs(case, image):
    count = case["containers"]
    return [lab.container(f"load-{number}", [f"/bin/{load.PROGRAM}", *load.arguments(case, count)], image)
            for number in range(count)]


class CriPod:
    """A sandbox with its containers by name."""

    def __init__(self, sandbox, containers):
        self.sandbox = sandbox
        self.containers = containers

    def loads(self):
        return [load.Load(run_json(CRI_TOOL, "status", container)["pid"])
                for _, container in sorted(self.containers.items())]

    def remove(self):
        run(CRI_TOOL, "stopp", self.sandbox)
        run(CRI_TOOL, "rmp", self.sandbox)


class PodPeer:
    """A peer that works on a pod of containerd's with the case's loads. A subclass says its name, whether
    it restores, and with which image and handler its containers are run."""
    restores = False
    image = SOURCE_IMAGE
    handler = "runc"

    def __init__(self, case):
        self._case = case
        self._pod = None

    def pod_name(self):
        return self.name

    def start(self):
        self._pod = run_pod(pod_config(self.pod_name()), container_configs(self._case, self.image),
                            self.handler)
        self._loads = self._pod.loads()
        for one in self._loads:
            one.wait_ready()

    def tidy(self):
        """Removes what the last round has left."""

    def stop(self):
        self.tidy()
        if self._pod is not None:
            self._pod.remove()


def restore_pod(act):
    """What is taken of act(), which makes a restored pod; that is removed in any case."""
    restored = []

    def loads():
        restored.append(act())
        return restored[0].loads()

    try:
        return measure.restore(loads)
    finally:
        for pod in restored:
            pod.remove()


def write_pod(pod, containers):
    """The configurations as files, as cri-tool wants them."""
    folder = HOME / "pods" / pod["metadata"]["name"]
    folder.mkdir(parents=True, exist_ok=True)
    pathlib.Path(pod["log_directory"]).mkdir(parents=True, exist_ok=True)
    paths = []
    for name, value in [("pod", pod)] + [(c["metadata"]["name"], c) for c in containers]:
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(json.dumps(value))
    return paths


def run_pod(pod, containers, handler):
    answer = run_json(CRI_TOOL, "run", "--rollback", "--handler", handler,
                      *write_pod(pod, containers))
    return CriPod(answer["sandbox"], answer["containers"])


def find_pod(sandbox):
    for entry in run_json(CRI_TOOL, "ps")["sandboxes"]:
        if entry["id"] == sandbox:
            return CriPod(sandbox, {c["name"]: c["id"] for c in entry["containers"]})
    raise LookupError(sandbox)
