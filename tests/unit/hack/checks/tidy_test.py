import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from checks import tidy


class TidyTest(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())).resolve()

    def commit(self, name):
        for arguments in (["init", "--quiet"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit",
                                                "--quiet", "--allow-empty", "-m", name]):
            subprocess.run(["git", "-C", self.root, *arguments], check=True)
        return tidy.git(self.root, "rev-parse", "HEAD")[0]

    def test_a_changed_header_is_read_with_its_source(self):
        product = ["agent/os/a.cc", "agent/os/a.h", "agent/os/b.cc", "restore/a.cc"]

        self.assertEqual(["agent/os/a.cc", "restore/a.cc"],
                         tidy.sources_of(["agent/os/a.h", "restore/a.cc", "tests/b.cc", "README.md"], product))

    def test_without_a_branch_to_follow_the_last_commit_is_what_changed(self):
        self.assertEqual("", tidy.changed_since(self.root))
        first = self.commit("first")
        self.assertEqual(first, tidy.changed_since(self.root))
        self.commit("second")
        self.assertEqual(first, tidy.changed_since(self.root))

    @unittest.skipUnless(shutil.which("clang-tidy"), "clang-tidy is not installed")
    def test_a_finding_is_named_with_its_line(self):
        (self.root / ".clang-tidy").write_text("Checks: '-*,bugprone-*'\nWarningsAsErrors: '*'\n")
        (self.root / "a.cc").write_text("int F(int a) {\n  return a ? 1 : 1;\n}\n")
        (self.root / "b.cc").write_text("int G();\n")
        (self.root / "compile_commands.json").write_text(json.dumps(
            [{"directory": str(self.root), "file": name, "command": f"c++ -c {name}"}
             for name in ("a.cc", "b.cc")]))

        found = tidy.findings_of(self.root, ".", "a.cc")

        self.assertEqual(["a.cc:2"], sorted({finding.split(": ")[0] for finding in found}), found)
        self.assertEqual(set(), tidy.findings_of(self.root, ".", "b.cc"))
