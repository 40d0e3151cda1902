"""CRIU alone, on the same load as a plain process of the node, with its images on a tmpfs."""
import os
import pathlib
import shutil
import subprocess

import measure
from commands import CommandFailed, run
from load import PROGRAM, Load, arguments

FOLDER = pathlib.Path("/tmp/bench-raw-criu")
TIMEOUT_S = 120


class RawCriuPeer:
    name = "raw-criu"
    restores = True

    def __init__(self, case):
        self._case = case
        self._loads = []

    def start(self):
        if self._case["containers"] != 1:
            raise CommandFailed("it knows processes, no pods of several containers")
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        path = FOLDER / "load.sock"
        process = subprocess.Popen(
            [f"/root/bench/{PROGRAM}", *arguments(self._case)], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "WORKLOAD_SOCKET": str(path)}, cwd="/")
        self._process = process
        self._loads = [Load(process.pid, str(path))]
        self._loads[0].wait_ready()

    def _images(self):
        return FOLDER / "images"

    def checkpoint(self):
        self.tidy()
        self._images().mkdir()
        values, _ = measure.checkpoint(self._loads, lambda: run(
            "criu", "dump", "--tree", self._loads[0].pid, "--images-dir", self._images(),
            "--leave-running", "--log-file", "dump.log", timeout_s=TIMEOUT_S))
        values["size_bytes"] = measure.bytes_of(self._images())
        return values

    def restore(self):
        """In the place of the one that was dumped: its process numbers are taken while it lives."""
        self._loads[0].kill()

        def act():
            run("criu", "restore", "--images-dir", self._images(), "--restore-detached",
                "--log-file", "restore.log", timeout_s=TIMEOUT_S)
            return self._loads

        return measure.restore(act)

    def tidy(self):
        shutil.rmtree(self._images(), ignore_errors=True)

    def stop(self):
        self.tidy()
        for load in self._loads:
            load.kill()
