import pathlib
import shutil
import tempfile
import unittest

from checks import formatting
from checks.source_tree import SourceTree


class FormattingTest(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.root / ".clang-format").write_text("BasedOnStyle: Google\n")

    def violations(self, text):
        (self.root / "a.cc").write_text(text)
        return formatting.check(SourceTree(self.root, ["a.cc"])).violations

    @unittest.skipUnless(shutil.which("clang-format"), "clang-format is not installed")
    def test_names_the_line_that_is_laid_out_differently(self):
        self.assertEqual([], self.violations("int a;\nint b;\n"))

        violations = self.violations("int a;\nint   b;\n")

        self.assertTrue(violations)
        self.assertTrue(violations[0].startswith("a.cc:2: "), violations)
