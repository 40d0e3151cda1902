"""cryopod itself: the pod as a whole into an archive of its store, and back."""
import json
import pathlib

import cri_pod
import measure
from commands import CTL, run, run_json

IMAGE = "lab.local/workloads:1"


class CryopodPeer:
    name = "cryopod"
    restores = True

    def __init__(self, case):
        self._case = case
        self._pod = None
        self._count = 0

    def start(self):
        # Two cases of ours may run side by side.
        pod = cri_pod.pod_config(f"cryopod-{self._case['name']}")
        self._pod = cri_pod.run_pod(pod, cri_pod.container_configs(self._case, IMAGE), "cryopod")
        self._loads = self._pod.loads()
        for load in self._loads:
            load.wait_ready()

    def checkpoint(self):
        self._count += 1
        self._archive = f"bench-{self._case['name']}-{self._count}"
        values, answer = measure.checkpoint(self._loads, lambda: run_json(
            CTL, "--output", "json", "checkpoint", self._pod.sandbox, "--archive", self._archive))
        values["size_bytes"] = int(answer["size_bytes"])
        return values

    def restore(self):
        request = cri_pod.HOME / "request.json"
        request.write_text(json.dumps({
            "config": cri_pod.pod_config("cryopod-restored"),
            "container_configs": cri_pod.container_configs(self._case, IMAGE)}))
        pathlib.Path("/var/log/pods/bench_cryopod-restored").mkdir(parents=True, exist_ok=True)
        restored = []

        def act():
            answer = run_json(CTL, "--output", "json", "restore", self._archive,
                              f"--request={request}")
            restored.append(cri_pod.find_pod(answer["pod_sandbox_id"]))
            return restored[0].loads()

        try:
            return measure.restore(act)[0]
        finally:
            for pod in restored:
                pod.remove()

    def tidy(self):
        """Removes what the last round has left."""
        run(CTL, "delete", self._archive)

    def stop(self):
        if self._pod is not None:
            self._pod.remove()
