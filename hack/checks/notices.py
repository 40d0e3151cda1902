"""Refuses an #include of a library whose notice is not shipped: headers hold code that is compiled in."""

import pathlib
import re
import subprocess

from .floors import INCLUDE
from .source_tree import Report, without_comments

LIST = "hack/cmake/ThirdParty.cmake"
FOLDERS = [pathlib.Path("/usr/include"), *pathlib.Path("/usr/include").glob("*-linux-gnu")]
# Of the kernel there are numbers and shapes only.
WITHOUT_CODE = {"linux-libc-dev"}


def shipped(text):
    """The packages whose notices the build installs."""
    return set(re.search(r"set\(CRYOPOD_LINKED_PACKAGES([^)]*)\)", text)[1].split())


def headers_of(includes, beside=None):
    """Where they lie on this machine, those of the compiler's own folders excepted."""
    for include in includes:
        folders = FOLDERS + [beside] if beside and include["open"] == '"' else FOLDERS
        for folder in folders:
            if (folder / include["path"]).is_file():
                yield (folder / include["path"]).resolve()


def closure_of(places):
    """`places` and what its headers include in turn, with the source by which they come in."""
    ahead = list(places)
    for header in ahead:
        text = header.read_text(encoding="utf-8", errors="replace")
        for other in headers_of(INCLUDE.finditer(text), header.parent):
            if other not in places:
                places[other] = places[header]
                ahead.append(other)
    return places


def owners_of(headers):
    """{header: package}, as dpkg knows them."""
    run = subprocess.run(["dpkg-query", "--search", *map(str, headers)], capture_output=True, text=True, check=False,
                         timeout=60)
    lines = (line.rsplit(": ", 1) for line in run.stdout.splitlines())
    return {header: packages.split(",")[0].split(":")[0] for packages, header in lines}


def check(tree):
    places = {}
    for path in tree.product_cpp():
        for header in headers_of(INCLUDE.finditer(without_comments(tree.read(path)))):
            places.setdefault(header, path)
    owners = owners_of(closure_of(places))
    known = shipped(tree.read(LIST)) | WITHOUT_CODE
    unknown = {}
    for header, path in places.items():
        package = owners.get(str(header), "none")
        if package not in known:
            unknown.setdefault(package, (header, path))
    violations = [f"{path}:1: includes {header} of the package {package}, which CRYOPOD_LINKED_PACKAGES in "
                  f"{LIST} does not name" for package, (header, path) in unknown.items()]
    return Report(f"{len(set(owners.values()))} packages of {len(places)} headers", violations)
