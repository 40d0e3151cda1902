"""CRIU alone on a container: the same namespaces and mounts as ours, its images on a tmpfs.

What is left of a small pod's freeze beside this is what cryopod adds: CRIU needs longer for a
container than for a plain process, whoever calls it.
"""
import json
import os
import pathlib
import shutil

import cri_pod
import measure
from commands import run
from raw_criu_peer import TIMEOUT_S
from runc_peer import ROOT

FOLDER = pathlib.Path("/tmp/bench-raw-criu-container")


def _externals(state):
    """What of a runc container lies outside it, as runc tells CRIU."""
    config, pid = state["config"], state["init_process_pid"]
    for namespace in config["namespaces"]:
        if namespace["type"] == "NEWNET" and namespace.get("path"):
            yield f"net[{os.stat(f'/proc/{pid}/ns/net').st_ino}]:extRootNetNS"
    for mount in config["mounts"]:
        if mount["device"] == "bind":
            yield f"mnt[{mount['destination']}]:{mount['destination']}"
    for path in config.get("mask_paths") or []:
        inside = f"/proc/{pid}/root{path}"
        if os.path.exists(inside) and not os.path.isdir(inside):
            yield f"mnt[{path}]:/dev/null"


class RawCriuContainerPeer(cri_pod.PodPeer):
    name = "raw-criu-container"

    def checkpoint(self):
        self.tidy()
        commands = []
        for container in self._pod.containers.values():
            state = json.loads(pathlib.Path(f"{ROOT}/{container}/state.json").read_text())
            images = FOLDER / container
            images.mkdir(parents=True)
            command = ["criu", "dump", "--tree", state["init_process_pid"], "--images-dir", images,
                       "--leave-running", "--log-file", "dump.log", "--root",
                       state["config"]["rootfs"], "--manage-cgroups=ignore", "--network-lock", "skip"]
            for external in _externals(state):
                command += ["--external", external]
            commands.append(command)
        values, _ = measure.checkpoint(self._loads, lambda: [
            run(*command, timeout_s=TIMEOUT_S) for command in commands])
        values["size_bytes"] = measure.bytes_of(FOLDER)
        return values

    def tidy(self):
        shutil.rmtree(FOLDER, ignore_errors=True)
