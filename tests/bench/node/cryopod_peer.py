"""cryopod itself: the pod as a whole into an archive of its store, and back."""
import json
import pathlib

import cri_pod
import measure
from commands import CTL, run, run_json


class CryopodPeer(cri_pod.PodPeer):
    name = handler = "cryopod"
    restores = True
    _count = 0
    _archive = None

    def pod_name(self):
        # Two cases of ours may run side by side.
        return f"cryopod-{self._case['name']}"

    def checkpoint(self):
        self._count += 1
        self._archive = f"bench-{self._case['name']}-{self._count}"
        values, answer = measure.checkpoint(self._loads, lambda: run_json(
            CTL, "--output", "json", "checkpoint", self._pod.sandbox, "--archive", self._archive))
        values["size_bytes"] = int(answer["size_bytes"])
        return values

    def restore(self):
        request = cri_pod.HOME / "request.json"
        pod = cri_pod.pod_config("cryopod-restored")
        request.write_text(json.dumps({
            "config": pod, "container_configs": cri_pod.container_configs(self._case, self.image)}))
        pathlib.Path(pod["log_directory"]).mkdir(parents=True, exist_ok=True)
        return cri_pod.restore_pod(lambda: cri_pod.find_pod(run_json(
            CTL, "--output", "json", "restore", self._archive,
            f"--request={request}")["pod_sandbox_id"]))

    def tidy(self):
        run(CTL, "delete", self._archive)

    def stop(self):
        if self._pod is not None:
            self._pod.remove()
