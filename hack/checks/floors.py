"""Refuses an #include that goes upward or sideways, and foreign headers where none may be."""

import re

from .source_tree import Report, without_comments

# Every folder that is a module of its own, with its floor. A file belongs to the longest match.
FLOORS = {
    "agent/os": 0,
    "cri": 1,
    "agent/criu": 1,
    "agent/settings": 1,
    "agent/archive": 1,
    "agent/api": 1,
    "metrics": 1,
    "restore/runtime/protocol": 1,
    "agent/node": 2,
    "agent/checkpoint": 2,
    "restore": 2,
    "restore/runtime": 2,
    "agent": 3,
    "agent/ctl": 3,
    "agent/gateway": 3,
    "agent/kubectl": 3,
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(?P<open>[<"])(?P<path>[^>"]+)[>"]', re.MULTILINE)

# Types of these libraries would leak into every file that includes one of our headers.
ONLY_IN_CC = re.compile(r"\.pb\.h$|^(grpcpp|grpc|google/protobuf|nlohmann|prometheus|cpprest|pplx)/")
# The ground floor stands on libc alone.
NO_LIBRARY = re.compile(
    r"^(grpcpp|grpc|google|absl|nlohmann|prometheus|cpprest|pplx|openssl|CLI)/|"
    r"^(archive|archive_entry|zstd|curl)\.h$")


def module_of(path):
    folder = path.rsplit("/", 1)[0] if "/" in path else ""
    while folder and folder not in FLOORS:
        folder = folder.rsplit("/", 1)[0] if "/" in folder else ""
    return folder or None


def violation_of(path, included, quoted):
    """Why `path` may not include `included`, or None."""
    if path.endswith(".h") and ONLY_IN_CC.search(included):
        return f"{included} belongs into .cc files only"
    module = module_of(path)
    if module is None:
        return "lies in no module"
    if FLOORS[module] == 0 and NO_LIBRARY.search(included):
        return f"{module} may use no library, but includes {included}"
    if not quoted:
        return None
    target = module_of(included)
    if target is None:
        return f"{included}: our headers are named by their path from the root"
    if target == module or FLOORS[target] < FLOORS[module]:
        return None
    direction = "upward" if FLOORS[target] > FLOORS[module] else "sideways"
    return (f"{module} (floor {FLOORS[module]}) includes {direction} {included} "
            f"({target}, floor {FLOORS[target]})")


def check(tree):
    violations = []
    includes = 0
    files = tree.product_cpp()
    for path in files:
        text = without_comments(tree.read(path))
        for match in INCLUDE.finditer(text):
            includes += 1
            reason = violation_of(path, match["path"], match["open"] == '"')
            if reason:
                line = text.count("\n", 0, match.start("path")) + 1
                violations.append(f"{path}:{line}: {reason}")
    return Report(f"{includes} includes in {len(files)} files of {len(FLOORS)} modules", violations)
