"""clang-format over every C++ file."""

import re
import shutil
import subprocess

from .source_tree import Report

FILES_PER_RUN = 40
FINDING = re.compile(r"^(?P<place>.+?:\d+):\d+: (error|warning): (?P<what>.*)$")


def findings_of(output, root):
    for line in output.splitlines():
        match = FINDING.match(line)
        if match:
            yield f"{match['place'].removeprefix(str(root) + '/')}: {match['what']}"


def check(tree):
    program = shutil.which("clang-format")
    if program is None:
        return Report("nothing", ["clang-format:1: is not installed (apt-get install clang-format)"])
    files = tree.cpp()
    violations = []
    for start in range(0, len(files), FILES_PER_RUN):
        run = subprocess.run(
            [program, "--dry-run", "-Werror", "--style=file"] + files[start:start + FILES_PER_RUN],
            cwd=tree.root, capture_output=True, text=True, check=False, timeout=300)
        found = list(findings_of(run.stderr, tree.root))
        if run.returncode != 0 and not found:
            found = [f"clang-format:1: {run.stderr.strip()}"]
        violations += found
    return Report(f"{len(files)} files", violations)
