"""containerd's own CheckpointContainer, one container after another, and its restore."""
import subprocess
import time

import cri_pod
import measure
from commands import CRI_TOOL, CommandFailed, run, wait_until

# containerd's restore pulls the container's image from its registry, whether it is there or not.
REGISTRY = "127.0.0.1:5000"
IMAGE = f"{REGISTRY}/workloads:1"
TIMEOUT_S = 300

_registry = None


def start_registry():
    """A registry on the node's loopback that holds the workloads' image."""
    global _registry
    if _registry is not None:
        return
    folder = cri_pod.HOME / "registry"
    folder.mkdir(parents=True, exist_ok=True)
    config = cri_pod.HOME / "registry.yml"
    config.write_text(f"version: 0.1\nlog: {{level: error}}\n"
                      f"storage: {{filesystem: {{rootdirectory: {folder}}}}}\n"
                      f"http: {{addr: {REGISTRY}}}\n")
    with open(cri_pod.HOME / "registry.log", "wb") as log:
        _registry = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log,
                                     stderr=log, stdin=subprocess.DEVNULL)
    ctr = ["ctr", "-n", "k8s.io", "images"]
    run(*ctr, "tag", "--force", cri_pod.SOURCE_IMAGE, IMAGE)

    def is_pushed():
        try:
            return run(*ctr, "push", "--plain-http", IMAGE) is not None
        except CommandFailed:
            time.sleep(0.2)
            return False

    wait_until(is_pushed, "the registry takes the image", 20)
    digest = run(*ctr, "ls", f"name=={IMAGE}").splitlines()[1].split()[2]
    run(*ctr, "tag", "--force", IMAGE, f"{REGISTRY}/workloads@{digest}")


def stop_registry():
    if _registry is not None:
        _registry.kill()
        _registry.wait(10)


class ContainerdPeer(cri_pod.PodPeer):
    name = "containerd"
    restores = True
    image = IMAGE
    _archives = {}

    def start(self):
        start_registry()
        super().start()

    def checkpoint(self):
        self.tidy()
        self._archives = {name: cri_pod.HOME / f"{name}.tar" for name in self._pod.containers}
        # A container after the other, as everybody has to who has this call alone.
        values, _ = measure.checkpoint(self._loads, lambda: [
            run(CRI_TOOL, "--timeout", TIMEOUT_S, "checkpoint", self._pod.containers[name], path)
            for name, path in self._archives.items()])
        values["size_bytes"] = sum(measure.bytes_of(path) for path in self._archives.values())
        return values

    def restore(self):
        configs = cri_pod.container_configs(self._case, IMAGE)
        for config in configs:
            config["image"] = {"image": str(self._archives[config["metadata"]["name"]])}
        return cri_pod.restore_pod(lambda: cri_pod.run_pod(
            cri_pod.pod_config("containerd-restored"), configs, self.handler))

    def tidy(self):
        for path in self._archives.values():
            path.unlink(missing_ok=True)
