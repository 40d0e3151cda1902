"""The files of the checkout, and C++ text without comments."""

import dataclasses
import pathlib
import re
import subprocess

PRODUCT_FOLDERS = ("agent", "cri", "restore", "metrics")
BUILD_FOLDER = "build"


@dataclasses.dataclass
class Report:
    summary: str
    violations: list


class SourceTree:
    """Paths are strings relative to the root, with slashes, sorted."""

    def __init__(self, root, paths=None):
        self.root = pathlib.Path(root)
        self.paths = sorted(paths if paths is not None else list_paths(self.root))

    def read(self, path):
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def cpp(self):
        return [path for path in self.paths if path.endswith((".cc", ".h"))]

    def product(self):
        return [path for path in self.paths if is_product(path)]

    def product_cpp(self):
        return [path for path in self.cpp() if is_product(path)]


def is_product(path):
    return path.split("/", 1)[0] in PRODUCT_FOLDERS


def list_paths(root):
    """What git tracks or would track; of an unpacked archive, everything but the build folder."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others",
               "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
        paths = {path for path in listed.decode("utf-8", "replace").split("\0") if path}
        return [path for path in paths if (root / path).is_file()]
    except (OSError, subprocess.CalledProcessError):
        found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
        return [path.as_posix() for path in found if path.parts[0] not in (BUILD_FOLDER, ".git")]


RAW_STRING = r'R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"'
NOISE = re.compile(
    RAW_STRING + r"""|//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|(?<![0-9a-fA-F])'(?:[^'\\\n]|\\.)*'""",
    re.DOTALL)


def without_comments(text):
    """Comments become blanks; every other character stays in its place."""
    def blank(match):
        is_comment = match.group().startswith(("//", "/*"))
        return re.sub(r"[^\n]", " ", match.group()) if is_comment else match.group()
    return NOISE.sub(blank, text)


def code_lines(path, text):
    """Lines that hold more than blanks and comments."""
    if path.endswith((".cc", ".h")):
        text = without_comments(text)
    elif path.endswith(".py"):
        text = re.sub(r"(?m)^\s*#.*$", "", text)
    return sum(1 for line in text.splitlines() if line.strip())
