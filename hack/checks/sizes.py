"""Sizes of files and functions, lines of test per line of source, names, and promises in comments."""

import collections
import re
import subprocess

from .source_tree import Report, code_lines, is_product

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
TESTS_PER_SOURCE_MIN = 0.7

TOP_LEVEL = {"CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md", "agent", "cri",
             "restore", "metrics", "manifests", "tests", "hack"}
CODE_SUFFIXES = (".cc", ".h", ".c", ".py", ".sh", ".cmake", ".proto", "CMakeLists.txt")
CPP_NAME = re.compile(r"[a-z0-9_]+\.(cc|h)")
# Names that say nothing of what is inside.
EMPTY_WORDS = {"manager", "helper", "helpers", "util", "utils", "common", "misc", "stuff"}
PROMISE = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")


def is_script(path, text):
    return path.startswith("hack/") and text.startswith("#!")


def check_file_size(path, text):
    lines = text.count("\n") + (not text.endswith("\n") and text != "")
    if (path.endswith(CODE_SUFFIXES) or is_script(path, text)) and lines > FILE_LINES_MAX:
        yield f"{path}:{lines}: the file has {lines} lines, more than {FILE_LINES_MAX}"


Function = collections.namedtuple("Function", "path first_line lines name")


def functions_of(tree):
    """Every function of the product with a body, lambdas too, from its name to its closing brace."""
    run = subprocess.run(
        ["ctags", "-x", "--languages=C++", "--kinds-C++=f", "--_xformat=%F\t%n\t%{end}\t%N", "-L", "-"],
        input="\n".join(tree.product_cpp()), cwd=tree.root, capture_output=True, text=True, check=True,
        timeout=60)
    found = []
    for line in run.stdout.splitlines():
        path, first, last, name = line.split("\t")
        found.append(Function(path, int(first), int(last) - int(first) + 1, name))
    return found


def check_name(path):
    top = path.split("/", 1)[0]
    if top not in TOP_LEVEL and not top.startswith("."):
        yield f"{path}:1: {top} does not belong to the top level"
    name = path.rsplit("/", 1)[-1]
    if name.endswith((".cc", ".h")) and not CPP_NAME.fullmatch(name):
        yield f"{path}:1: the name is not snake_case"
    for part in path.split("/"):
        empty = EMPTY_WORDS.intersection(re.split(r"[^a-z0-9]+", part.lower()))
        if empty:
            yield f"{path}:1: \"{sorted(empty)[0]}\" says nothing of what is inside"
            return


def check_promises(path, text):
    for number, line in enumerate(text.splitlines(), start=1):
        match = PROMISE.search(line)
        if match:
            yield f"{path}:{number}: {match.group()}: an error is handled or returned, never promised"


def check_machine_paths(root, path, text):
    """Where this checkout lies is nobody else's path."""
    here = re.compile(rf"(?<![\w.}}/-]){re.escape(str(root))}(?![\w-])")
    for number, line in enumerate(text.splitlines(), start=1):
        if here.search(line):
            yield f"{path}:{number}: a path of one machine"


class LineCounts:
    """Lines of code of the product and of the tests."""

    def __init__(self):
        self.source = 0
        self.tests = 0

    def add(self, path, lines):
        if is_product(path):
            self.source += lines
        elif path.startswith("tests/"):
            self.tests += lines

    def violations(self):
        if self.tests < TESTS_PER_SOURCE_MIN * self.source:
            yield (f"tests:1: {self.tests} lines of test for {self.source} lines of source, "
                   f"less than {TESTS_PER_SOURCE_MIN} each")

    def summary(self):
        ratio = self.tests / self.source if self.source else 0
        return f"{self.source} lines of source, {self.tests} of test ({ratio:.2f} each)"


def check(tree):
    functions = functions_of(tree)
    violations = [
        f"{function.path}:{function.first_line}: {function.name} has {function.lines} lines, "
        f"more than {FUNCTION_LINES_MAX}"
        for function in functions if function.lines > FUNCTION_LINES_MAX]
    counts = LineCounts()
    for path in tree.paths:
        violations += check_name(path)
        text = tree.read(path)
        violations += check_file_size(path, text)
        violations += check_promises(path, text)
        violations += check_machine_paths(tree.root, path, text)
        if path.endswith((".cc", ".h", ".py")) and not path.startswith("hack/"):
            counts.add(path, code_lines(path, text))
    violations += counts.violations()
    return Report(f"{len(tree.paths)} files, {len(functions)} functions; {counts.summary()}",
                  violations)
