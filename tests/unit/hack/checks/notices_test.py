import pathlib
import shutil
import tempfile
import unittest

from checks import notices
from checks.source_tree import SourceTree


@unittest.skipUnless(shutil.which("dpkg-query"), "no Debian")
class NoticesTest(unittest.TestCase):
    def violations(self, packages, text):
        with tempfile.TemporaryDirectory() as folder:
            for path, content in ((notices.LIST, f"set(CRYOPOD_LINKED_PACKAGES a {packages}\n  b)\n"),
                                  ("agent/os/a.cc", text)):
                file = pathlib.Path(folder) / path
                file.parent.mkdir(parents=True)
                file.write_text(content)
            return notices.check(SourceTree(folder)).violations

    def test_a_library_that_is_headers_only_needs_its_notice(self):
        for header, package in (("toml++/toml.h", "libtomlplusplus-dev"), ("CLI/CLI.hpp", "libcli11-dev"),
                                ("nlohmann/json.hpp", "nlohmann-json3-dev")):
            text = f"#include <{header}>\n"
            self.assertEqual([], self.violations(f"libc6-dev {package}", text))
            violations = self.violations("libc6-dev", text)
            self.assertEqual(1, len(violations), violations)
            self.assertTrue(violations[0].startswith("agent/os/a.cc:1: "), violations)
            self.assertIn(package, violations[0])

    def test_what_a_header_includes_in_turn_counts(self):
        violations = self.violations("libc6-dev libcpprest-dev libssl-dev", "#include <pplx/threadpool.h>\n")
        self.assertTrue(any("libboost" in violation for violation in violations), violations)

    def test_a_comment_and_the_language_need_none(self):
        self.assertEqual([], self.violations("", "#include <vector>\n// #include <CLI/CLI.hpp>\n"))
