"""Podman's checkpoint with --export, and its restore with --import."""
import json
import pathlib

import cri_pod
import measure
from commands import run
from cri_pod import SOURCE_IMAGE
from load import PROGRAM, Load, arguments

LAB_RUNTIME = "/usr/local/sbin/runc-lab"
HOME = cri_pod.HOME / "podman"
PODMAN = ["podman", "--root", str(HOME), "--runroot", "/run/bench-podman",
          "--cgroup-manager", "cgroupfs"]


class PodmanPeer:
    name = "podman"
    restores = True

    def __init__(self, case):
        self._case = case
        self._names = []
        self._loads = []

    def start(self):
        HOME.mkdir(parents=True, exist_ok=True)
        runtime = LAB_RUNTIME if pathlib.Path(LAB_RUNTIME).exists() else "/usr/sbin/runc"
        self._podman = [*PODMAN, "--runtime", runtime]
        image = cri_pod.HOME / "image.tar"
        run("ctr", "-n", "k8s.io", "images", "export", image, SOURCE_IMAGE)
        run(*self._podman, "load", "-i", image)
        count = self._case["containers"]
        for number in range(count):
            name = f"load-{number}"
            self._names.append(name)
            run(*self._podman, "run", "--detach", "--name", name, "--network", "none", "--log-driver",
                "none", "--entrypoint", f"/bin/{PROGRAM}", SOURCE_IMAGE,
                *arguments(self._case, count))
            self._loads.append(self._load(name))
        for load in self._loads:
            load.wait_ready()

    def _load(self, name):
        described = json.loads(run(*self._podman, "inspect", name))
        return Load(described[0]["State"]["Pid"])

    def _archive(self, name):
        return cri_pod.HOME / f"podman-{name}.tar.zst"

    def checkpoint(self):
        self.tidy()
        values, _ = measure.checkpoint(self._loads, lambda: [
            run(*self._podman, "container", "checkpoint", "--export", self._archive(name),
                "--leave-running", name) for name in self._names])
        values["size_bytes"] = sum(measure.bytes_of(self._archive(name)) for name in self._names)
        return values

    def restore(self):
        restored = [f"{name}-restored" for name in self._names]

        def act():
            for name in self._names:
                run(*self._podman, "container", "restore", "--import", self._archive(name),
                    "--name", f"{name}-restored")
            return [self._load(name) for name in restored]

        try:
            return measure.restore(act)
        finally:
            run(*self._podman, "rm", "--force", "--time", "0", "--ignore", *restored)

    def tidy(self):
        for name in self._names:
            self._archive(name).unlink(missing_ok=True)

    def stop(self):
        self.tidy()
        if self._names:
            run(*self._podman, "rm", "--force", "--time", "0", "--ignore", *self._names)
