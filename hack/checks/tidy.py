"""clang-tidy, with the checks of .clang-tidy, over the product's sources that changed; or over all.

One file takes 2 to 40 s, all of them more than half an hour on two cores: what changed since the merge base
is read, and no file is begun after SECONDS_MAX.
"""

import concurrent.futures
import os
import re
import subprocess
import time

from .source_tree import Report

PRESETS = ("asan", "debug", "tsan")  # which have each source by itself
SECONDS_MAX = 100
FINDING = re.compile(r"^(?P<place>.+?:\d+):\d+: (error|warning): (?P<what>.*)$", re.MULTILINE)


def git(root, *arguments):
    run = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True,
                         check=False, timeout=60)
    return run.stdout.split() if run.returncode == 0 else []


def changed_since(root):
    """Where this branch left the one that it follows, else the last commit but one; "" outside of git."""
    head = git(root, "rev-parse", "HEAD")
    base = git(root, "merge-base", "HEAD", "@{upstream}")
    return "".join(base if base != head and base else git(root, "rev-parse", "HEAD~1") or head)


def sources_of(changed, product):
    """The sources among the changed files, and those whose own header changed."""
    stems = {path.rsplit(".", 1)[0] for path in changed if path.endswith((".cc", ".h"))}
    return [path for path in product if path.endswith(".cc") and path[:-3] in stems]


def build_folder(root):
    """A build tree with compile commands and all generated headers."""
    ready = [preset for preset in PRESETS if (root / f"build/{preset}/compile_commands.json").exists()]
    preset = (ready or PRESETS)[0]
    steps = [["cmake", "--build", "--preset", preset, "--target", "cryopod_generated"]]
    if not ready:
        steps.insert(0, ["cmake", "--preset", preset])
    for step in steps:
        subprocess.run(step, cwd=root, check=True, stdout=subprocess.DEVNULL, timeout=600)
    return f"build/{preset}"


def findings_of(root, build, path):
    run = subprocess.run(["clang-tidy", "-p", build, "--quiet", path], cwd=root, capture_output=True,
                         text=True, check=False, timeout=600)
    found = {f"{match['place'].removeprefix(f'{root}/')}: {match['what']}"
             for match in FINDING.finditer(run.stdout)}
    if run.returncode != 0 and not found:
        found = {f"{path}:1: {run.stderr.strip()}"}
    return found


def check(tree, everything=False):
    product = tree.product_cpp()
    if everything:
        files, of_what = sources_of(product, product), "all"
    else:
        base = changed_since(tree.root)
        changed = git(tree.root, "diff", "--name-only", base) if base else []
        changed += git(tree.root, "ls-files", "--others", "--exclude-standard")
        files, of_what = sources_of(changed, product), f"changed since {base[:12] or 'never: no git'}"
    if not files:
        return Report(f"no files ({of_what})", [])
    # The short ones first: of these most are read in the time.
    files.sort(key=lambda path: len(tree.read(path)))
    build = build_folder(tree.root)
    until = time.monotonic() + SECONDS_MAX

    def read(path):
        if not everything and time.monotonic() > until:
            return None
        return findings_of(tree.root, build, path)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(read, files))
    left = results.count(None)
    violations = sorted(set().union(*filter(None, results)))
    return Report(f"{len(files) - left} files ({of_what}); {left} left for hack/check tidy --all", violations)
