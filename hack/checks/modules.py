"""The modules and programs of the product, as the cryopod_*() calls in its CMakeLists.txt files name them."""

import dataclasses
import posixpath
import re

CALL = re.compile(r"\bcryopod_(module|program|plugin|proto)\s*\(([^)]*)\)")
KEYWORDS = {"FLOOR", "SOURCES", "USES", "LIBRARIES", "DESTINATION", "FOR_TESTS", "EMBEDDED", "PROTO", "GRPC", "LITE"}


@dataclasses.dataclass
class Module:
    name: str
    floor: float
    uses: list


class Modules:
    def __init__(self, tree):
        self._by_name = {}
        self._by_source = {}
        self._by_folder = {}
        self._folder_of_proto = {}
        for path in tree.product():
            if posixpath.basename(path) == "CMakeLists.txt":
                self._read(posixpath.dirname(path), tree.read(path))

    def __len__(self):
        return len(self._by_name)

    def _read(self, folder, text):
        for call in CALL.finditer(re.sub(r"#[^\n]*", "", text)):
            name, arguments = arguments_of(call[2])
            if call[1] == "proto":
                stem = posixpath.join(folder, arguments["PROTO"][0]).removesuffix(".proto")
                self._folder_of_proto[stem] = folder
                continue
            module = Module(name, float(arguments["FLOOR"][0]), arguments.get("USES", []))
            self._by_name[name] = module
            for source in arguments["SOURCES"]:
                self._by_source[posixpath.join(folder, source)] = module
            if call[1] == "module":
                self._by_folder[folder] = module
            self._by_folder.setdefault(folder, module)

    def compiling(self, source):
        return self._by_source.get(source)

    def holding(self, header):
        """The module of its folder; of what protoc makes, that of the folder which asks for it."""
        stem = re.sub(r"(\.grpc)?\.pb\.h$", "", header)
        return self._by_folder.get(self._folder_of_proto.get(stem, posixpath.dirname(header)))

    def may_include(self, module, other):
        """Is `other` the module itself, or one that it uses, directly or through others?"""
        seen, ahead = set(), [module.name]
        while ahead:
            name = ahead.pop()
            if name not in seen and name in self._by_name:
                seen.add(name)
                ahead += self._by_name[name].uses
        return other.name in seen


def arguments_of(text):
    """The name that a call begins with, and its words by keyword."""
    name, *words = text.split()
    arguments, keyword = {}, []
    for word in words:
        if word in KEYWORDS:
            keyword = arguments.setdefault(word, [])
        else:
            keyword.append(word)
    return name, arguments
