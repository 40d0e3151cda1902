"""What a reader must know of the machine and the node to understand the figures."""
import os
import pathlib
import re

# Prints one line a fact; a program that is not there prints nothing.
NODE_SCRIPT = """
echo "criu: $(criu --version 2>/dev/null | head -n 1)"
echo "containerd: $(containerd --version 2>/dev/null)"
echo "runc: $(runc --version 2>/dev/null | head -n 1)"
echo "podman: $(podman --version 2>/dev/null)"
echo "capabilities: $(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)"
"""
VERSION = re.compile(r"\d+\.\d+[\w.~-]*")
CAP_SYS_RESOURCE = 24
# Without this cache every CRIU asks the kernel anew for all that it can. The first one leaves it.
KERNEL_FACTS = "/run/criu.kdat"
PROGRAMS = ("criu", "containerd", "runc", "podman")


def of_node(node_text):
    """Versions of the programs, and the right that CRIU may lack."""
    facts = dict(line.split(": ", 1) for line in node_text.splitlines() if ": " in line)
    found = {program: VERSION.search(facts.get(program, "")) for program in PROGRAMS}
    return {
        **{program: match.group() if match else None for program, match in found.items()},
        "cap_sys_resource": bool(int(facts.get("capabilities") or "0", 16) >> CAP_SYS_RESOURCE & 1),
    }


def of_host():
    cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "cpu": cpu.group(1) if cpu else os.uname().machine,
        "processors": os.cpu_count(),
        "memory_gib": round(int(memory.group(1)) / 2**20, 1),
        "kernel": os.uname().release,
        "transparent_huge_pages": huge_pages(),
    }


def huge_pages():
    """The mode in brackets, as the kernel shows the one that holds."""
    path = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    match = re.search(r"\[(\w+)\]", path.read_text()) if path.exists() else None
    return match.group(1) if match else None


def described(machine):
    """One sentence for people."""
    programs = ", ".join(f"{name} {machine[name]}" for name in PROGRAMS if machine.get(name))
    right = "with" if machine["cap_sys_resource"] else "without"
    return (f"{machine['cpu']}, {machine['processors']} processors, {machine['memory_gib']:g} GiB, "
            f"Linux {machine['kernel']}, transparent huge pages {machine['transparent_huge_pages']}, "
            f"cgroup {machine['cgroup']}; {programs}; {right} CAP_SYS_RESOURCE. "
            f"Before: {machine['busy_share']:.0%} busy, load {machine['load']}; "
            f"{meanwhile(machine)}.")


def meanwhile(machine):
    if "others_share" not in machine:
        return "the run was cut off"
    cached = "with" if machine["criu_kernel_facts_cached"] else "without"
    return (f"{cached} CRIU's cache of kernel facts; while it ran: {machine['others_share']:.0%} taken "
            f"by others, {machine['steal_share']:.0%} stolen from the whole machine")
