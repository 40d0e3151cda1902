"""Refuses an #include of what the module does not use, foreign headers where none may be, and files
of no module. That uses go downward, CMake checks."""

import re

from .modules import Modules
from .source_tree import Report, without_comments

INCLUDE = re.compile(r'^\s*#\s*include\s*(?P<open>[<"])(?P<path>[^>"]+)[>"]', re.MULTILINE)

# Types of these libraries would leak into every file that includes one of our headers.
ONLY_IN_CC = re.compile(r"\.pb\.h$|^(grpcpp|grpc|google/protobuf|nlohmann|prometheus|cpprest|pplx)/")
# The ground floor stands on libc alone.
NO_LIBRARY = re.compile(
    r"^(grpcpp|grpc|google|absl|nlohmann|prometheus|cpprest|pplx|openssl|CLI|toml\+\+)/|"
    r"^(archive|archive_entry|zstd|curl)\.h$")
# agent/ holds rooms.
IN_AGENT = re.compile(r"agent/(?!CMakeLists\.txt$|README\.md$)[^/]+")


def placement_of(path, modules):
    """Why `path` may not stand where it does, or None."""
    if IN_AGENT.fullmatch(path):
        return "agent/ itself holds rooms, no files"
    if not path.endswith((".cc", ".h")):
        return None
    if modules.holding(path) is None:
        return "the folder has no module: no CMakeLists.txt in it calls cryopod_module()"
    if path.endswith(".cc") and modules.compiling(path) is None:
        return "no cryopod_module() or cryopod_program() names it among its SOURCES"
    return None


def violation_of(path, included, quoted, modules):
    """Why `path` may not include `included`, or None."""
    if path.endswith(".h") and ONLY_IN_CC.search(included):
        return f"{included} belongs into .cc files only"
    module = modules.compiling(path) or modules.holding(path)
    if module.floor == 0 and NO_LIBRARY.search(included):
        return f"{module.name} may use no library, but includes {included}"
    if not quoted:
        return None
    target = modules.holding(included)
    if target is None:
        return f"{included}: our headers are named by their path from the root"
    if modules.may_include(module, target):
        return None
    return f"{module.name} does not use {target.name}, but includes {included}"


def check(tree):
    modules = Modules(tree)
    violations = []
    includes = 0
    for path in tree.product():
        misplaced = placement_of(path, modules)
        if misplaced:
            violations.append(f"{path}:1: {misplaced}")
        elif path.endswith((".cc", ".h")):
            text = without_comments(tree.read(path))
            for match in INCLUDE.finditer(text):
                includes += 1
                reason = violation_of(path, match["path"], match["open"] == '"', modules)
                if reason:
                    line = text.count("\n", 0, match.start("path")) + 1
                    violations.append(f"{path}:{line}: {reason}")
    return Report(f"{includes} includes in {len(tree.product_cpp())} files of {len(modules)} modules "
                  "and programs", violations)
