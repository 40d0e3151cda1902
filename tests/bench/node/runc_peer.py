"""`runc checkpoint` by hand: CRIU images on the disk, packed by tar, zstd and sha256sum."""
import shutil

import cri_pod
import measure
from commands import run
from containerd_peer import SOURCE_IMAGE

ROOT = "/run/containerd/runc/k8s.io"
FOLDER = cri_pod.HOME / "runc"


class RuncPeer:
    name = "runc"
    restores = False

    def __init__(self, case):
        self._case = case
        self._pod = None

    def start(self):
        pod = cri_pod.pod_config("runc")
        self._pod = cri_pod.run_pod(pod, cri_pod.container_configs(self._case, SOURCE_IMAGE), "runc")
        self._loads = self._pod.loads()
        for load in self._loads:
            load.wait_ready()

    def checkpoint(self):
        self.tidy()
        values, _ = measure.checkpoint(self._loads, lambda: [
            self._checkpoint_one(container) for container in self._pod.containers.values()])
        values["size_bytes"] = sum(path.stat().st_size for path in FOLDER.glob("*.tar.zst"))
        return values

    def _checkpoint_one(self, container):
        images, archive = FOLDER / container, FOLDER / f"{container}.tar.zst"
        images.mkdir(parents=True)
        run("/usr/sbin/runc", "--root", ROOT, "checkpoint", "--leave-running", "--image-path", images,
            "--work-path", images, container)
        run("tar", "-C", images, "-I", "zstd -1 -T0", "-cf", archive, ".")
        run("sha256sum", archive)

    def tidy(self):
        shutil.rmtree(FOLDER, ignore_errors=True)

    def stop(self):
        self.tidy()
        if self._pod is not None:
            self._pod.remove()
