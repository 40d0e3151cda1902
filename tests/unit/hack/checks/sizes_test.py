import pathlib
import tempfile
import unittest

from checks import sizes
from checks.source_tree import SourceTree, code_lines

PROMISE = "TO" "DO"


class SizesTest(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def violations(self, files):
        for path, text in files.items():
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return sizes.check(SourceTree(self.root, list(files))).violations

    def one_violation(self, files):
        violations = self.violations(files)
        self.assertEqual(1, len(violations), violations)
        return violations[0]

    def test_a_file_has_at_most_500_lines(self):
        self.assertEqual([], self.violations({"tests/a.cc": "\n" * 500}))
        self.assertIn("501 lines", self.one_violation({"tests/a.cc": "\n" * 501}))
        self.assertIn("501 lines", self.one_violation({"hack/a": "#!/bin/sh\n" + "\n" * 500}))

    def test_a_function_has_at_most_60_lines(self):
        tests = {"tests/unit/agent/os/a_test.cc": "x;\n" * 60}
        fits = "int F() {\n" + "  G();\n" * 58 + "}\n"
        long = "\n\nint F() {\n" + "  G();\n" * 59 + "}\n"

        self.assertEqual([], self.violations({"agent/os/a.cc": fits, **tests}))
        violation = self.one_violation({"agent/os/a.cc": long, **tests})

        self.assertTrue(violation.startswith("agent/os/a.cc:3: F has 61 lines"), violation)

    def test_a_lambda_and_what_stands_in_a_class_are_functions(self):
        lines = "    G();\n" * 60
        source = (f"namespace {{\nclass A {{\n  int f() {{\n{lines}  }}\n}};\n}}\n"
                  f"void H() {{ G(); }}\nconst auto kCall = [](int a) {{\n{lines}}};\n"
                  'const char* F() {\n  return R"x(} ")x";\n}\n')
        violations = self.violations({"agent/os/a.h": source, "tests/a_test.cc": "x;\n" * 99})
        self.assertEqual(["agent/os/a.h:3", "agent/os/a.h:68"],
                         [violation.split(": ")[0] for violation in violations])

    def test_source_needs_its_tests(self):
        source = "int a;\n" * 10
        self.assertEqual([], self.violations(
            {"agent/os/a.cc": source, "tests/unit/agent/os/a_test.cc": "int a;\n" * 7}))
        self.assertIn("6 lines of test for 10", self.one_violation(
            {"agent/os/a.cc": source, "tests/unit/agent/os/a_test.cc": "int a;\n" * 6}))

    def test_comments_and_blanks_are_no_tests(self):
        self.assertIn("0 lines of test for 1", self.one_violation(
            {"agent/os/a.cc": "int a;\n", "tests/a_test.cc": "// x\n\n/* y\n z */\n"}))

    def test_the_top_level_is_what_it_is(self):
        self.assertEqual([], self.violations({".clang-format": "", "README.md": ""}))
        self.assertIn("top level", self.one_violation({"notes.txt": ""}))
        self.assertIn("top level", self.one_violation({"docs/a.md": ""}))

    def test_names_say_what_is_inside(self):
        for path in ["tests/string_utils.cc", "tests/common/a.cc", "hack/job-manager.sh"]:
            self.assertIn("says nothing", self.one_violation({path: ""}))
        self.assertEqual([], self.violations({"tests/commonwealth.cc": ""}))
        self.assertIn("snake_case", self.one_violation({"tests/FileTest.cc": ""}))

    def test_nothing_is_promised(self):
        violation = self.one_violation({"tests/a.cc": f"int a;\n// {PROMISE}: later\n"})

        self.assertTrue(violation.startswith("tests/a.cc:2:"), violation)

    def test_no_path_is_of_one_machine(self):
        here = str(self.root)

        self.assertIn("one machine", self.one_violation({"hack/a.sh": f"cd {here}/build\n"}))
        self.assertEqual([], self.violations({"hack/a.sh": f"/upper{here} {here}er {here}-2\n"}))


class CodeLinesTest(unittest.TestCase):
    def test_a_line_of_code_holds_more_than_a_comment(self):
        self.assertEqual(2, code_lines("a.cc", "// x\n\nint a;  // y\n/* z\n*/\nint b;\n"))
        self.assertEqual(1, code_lines("a.py", "# x\n\na = 1  # y\n"))
