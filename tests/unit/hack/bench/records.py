"""Records of runs that never were, for the tests of what is made of them."""
from bench import grid, metrics

MACHINE = {"cpu": "a processor", "processors": 2, "memory_gib": 8.0, "kernel": "6.1",
           "transparent_huge_pages": "madvise", "criu": "4.2", "containerd": "2.1", "runc": "1.3",
           "podman": None, "cap_sys_resource": False,
           "cgroup": "v2", "load": "0.1", "date": "2026-01-02", "busy_share": 0.01}


def header(cases, standard=grid.STANDARD, busy_reason=None, forced=False, which="own"):
    return {"kind": "run", "plan": grid.plan(cases, 3, 0, []), "standard": standard, "grid": which,
            "forced": forced, "busy_reason": busy_reason, "machine": MACHINE}


def end(busy_reason=None):
    return {"kind": "end", "exit_code": 0, "seconds": 1, "busy_reason": busy_reason,
            "machine": {"others_share": 0.02, "steal_share": 0.0,
                        "criu_kernel_facts_cached": True}}


def leg(case, peer, number, act="checkpoint", page_us=0.2, **values):
    usual = {"freeze_ms": 100, "total_s": 2, "cpu_s": 1, "size_bytes": 2**20} \
        if act == "checkpoint" else {"first_heartbeat_s": 1, "total_s": 2, "cpu_s": 1}
    return {"kind": "leg", "case": case, "peer": peer, "round": number, "act": act,
            "page_us": page_us, **usual, **values}


def run(cases, *records, **options):
    return metrics.Run([header(cases, **options), *records, end()])
