"""What an exec costs through cryopod-runtime and through the bare runtime, in turns."""
import time

import cri_pod
from commands import CRI_TOOL, run

CASE = {"mib": 1, "processes": 1, "threads": 0, "content": "random", "pages": "4k",
        "dirty_mib_per_s": 0, "containers": 1}


def measure_exec(rounds):
    """Milliseconds of each exec, by handler, in pairs."""
    pods = {}
    taken = {"cryopod": [], "runc": []}
    try:
        for handler in taken:
            pods[handler] = cri_pod.run_pod(cri_pod.pod_config(f"exec-{handler}"),
                                            cri_pod.container_configs(CASE, cri_pod.SOURCE_IMAGE), handler)
        for number in range(rounds):
            # First one first, then the other.
            for handler in sorted(taken, reverse=number % 2 == 1):
                container = next(iter(pods[handler].containers.values()))
                began = time.monotonic()
                run(CRI_TOOL, "exec", container, "/bin/true")
                taken[handler].append((time.monotonic() - began) * 1e3)
    finally:
        for pod in pods.values():
            pod.remove()
    return taken
