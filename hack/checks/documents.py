"""Holds the documents to what they speak of: links, files, settings that they name, length, the words of `reason`."""

import fnmatch
import posixpath
import re

from .source_tree import Report

WORDS_MAX = {"README.md": 2200}
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ +(?P<text>.+)$", re.MULTILINE)
# `mounts/mount_rules.cc`, `job_directory.{h,cc}`, `check_*.cc`: beside the document, or from the root.
SOURCE = re.compile(r"`(?P<path>[\w./*-]+\.(?:\{h,cc\}|h|cc|proto))`")
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
REASON = re.compile(r'^  k\w+, +// "(?P<word>\w+)"', re.MULTILINE)
REASONS = "agent/os/reason.h"
# Where whoever reads a reason looks it up.
OPERATORS = "manifests/README.md"

SETTINGS = "manifests/cryopod.toml"
SETTING = re.compile(r"^# (?P<key>\w+) = ", re.MULTILINE)
# `state_dir`, `restore_namespaces = "team-a:team-b"`.
SETTING_NAMED = re.compile(r"`(?P<key>[a-z]+(?:_[a-z]+)+|[a-z_]+(?= = ))(?: = [^`]*)?`")
# A system call, a member of log lines; what begins with cryopod_ is a metric.
SPEAK_OF_SETTINGS = {"README.md", OPERATORS, "agent/README.md"}
NO_SETTINGS = {"close_range", "reason_code"}


def anchors_of(text):
    """As forges make them of headings."""
    return {re.sub(r"[^\w\- ]", "", heading["text"].lower()).replace(" ", "-")
            for heading in HEADING.finditer(CODE.sub("", text))}


def check_link(tree, path, target):
    file, _, anchor = target.partition("#")
    where = posixpath.normpath(posixpath.join(posixpath.dirname(path), file)) if file else path
    if where not in tree.paths and not any(other.startswith(where + "/") for other in tree.paths):
        return f"there is no {where}"
    if anchor and anchor not in anchors_of(tree.read(where)):
        return f"{where} has no heading #{anchor}"
    return None


def check_links(tree, path):
    text = tree.read(path)
    for match in LINK.finditer(CODE.sub(lambda code: "\n" * code.group().count("\n"), text)):
        wrong = None if re.match(r"\w+:", match["target"]) else check_link(tree, path, match["target"])
        if wrong:
            yield f"{path}: the link to {match['target']} leads nowhere: {wrong}"


def check_sources(tree, path):
    for match in SOURCE.finditer(tree.read(path)):
        for ending in ("h", "cc"):
            name = match["path"].replace("{h,cc}", ending)
            beside = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
            if not any(fnmatch.filter(tree.paths, place) for place in (beside, name, f"*/{name}")):
                yield f"{path}: there is no {name}"
                break


def check_length(tree, path):
    words = len(tree.read(path).split())
    if words > WORDS_MAX.get(path, words):
        yield f"{path}: {words} words; at most {WORDS_MAX[path]}: what few readers need belongs beside what it describes"


def check_reasons(tree):
    if REASONS not in tree.paths:
        return
    text = tree.read(OPERATORS)
    for match in REASON.finditer(tree.read(REASONS)):
        if not re.search(rf"^\| `{match['word']}` \| \w", text, re.MULTILINE):
            yield f"{OPERATORS}: the reason {match['word']} of {REASONS} is not explained"


def check_settings(tree, path):
    """Words like those of settings are settings or reasons."""
    if not {SETTINGS, REASONS}.issubset(tree.paths):
        return
    known = set(SETTING.findall(tree.read(SETTINGS))) | set(REASON.findall(tree.read(REASONS))) | NO_SETTINGS
    for match in SETTING_NAMED.finditer(CODE.sub("", tree.read(path))):
        if match["key"] not in known and not match["key"].startswith("cryopod_"):
            yield f"{path}: {match['key']} is no key of {SETTINGS}"


def check(tree):
    documents = [path for path in tree.paths if path.endswith(".md")]
    violations = [*check_reasons(tree)]
    for path in documents:
        violations += [*check_links(tree, path), *check_sources(tree, path), *check_length(tree, path),
                       *(check_settings(tree, path) if path in SPEAK_OF_SETTINGS else ())]
    return Report(f"{len(documents)} documents", violations)
