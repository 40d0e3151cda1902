import pathlib
import tempfile
import unittest

from checks import documents
from checks.source_tree import SourceTree


class DocumentsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        self.addCleanup(self.folder.cleanup)

    def violations(self, files):
        for path, text in files.items():
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return documents.check(SourceTree(self.root, list(files))).violations

    def test_a_link_leads_to_a_file_or_a_folder_of_the_tree(self):
        files = {"README.md": "[a](sub/a.md) [b](sub) [c](https://example.org/x)", "sub/a.md": "[back](../README.md)"}
        self.assertEqual([], self.violations(files))

        wrong, = self.violations({"README.md": "[a](gone.md)"})
        self.assertIn("there is no gone.md", wrong)

    def test_an_anchor_is_a_heading_there(self):
        files = {"README.md": "[a](a.md#is-the-node-fit) [b](#use-it)\n## Use it\n", "a.md": "## Is the node fit?\n"}
        self.assertEqual([], self.violations(files))

        wrong, = self.violations({"README.md": "[b](#used)\n```sh\n# used\n```\n"})
        self.assertIn("no heading #used", wrong)

    def test_what_stands_in_a_block_of_code_is_no_link(self):
        self.assertEqual([], self.violations({"README.md": "```sh\necho [a](gone)\n```\n"}))

    def test_a_source_that_is_named_is_there(self):
        files = {"agent/README.md": "`os/a.{h,cc}` `../restore/b.h` `check_*.cc`", "agent/os/a.h": "",
                 "agent/os/a.cc": "", "restore/b.h": "", "agent/node/check_x.cc": ""}
        self.assertEqual([], self.violations(files))

        wrong, = self.violations({"agent/README.md": "`os/gone.h`"})
        self.assertIn("no os/gone.h", wrong)

    def test_the_readme_stays_short(self):
        self.assertEqual([], self.violations({"README.md": "word " * 2200}))
        wrong, = self.violations({"README.md": "word " * 2201})
        self.assertIn("2201 words", wrong)

    def test_a_setting_that_is_named_is_one(self):
        files = {"agent/os/reason.h": '  kNoSpace,  // "no_space": full\n',
                 "manifests/cryopod.toml": '# where (path)\n# state_dir = "/x"\n\n# who (name)\n# user = ""\n',
                 "manifests/README.md": '`state_dir`, `user = "a"`, `reason_code`, `cryopod_archives`, `list`\n'
                                        '| `no_space` | full |'}
        self.assertEqual([], self.violations(files))

        for named in ("`state_folder`", '`state_folder = "/y"`', '`group = "a"`'):
            files["README.md"] = named
            wrong, = self.violations(files)
            self.assertIn("is no key of manifests/cryopod.toml", wrong)

    def test_every_reason_is_explained_to_the_operator(self):
        files = {"agent/os/reason.h": '  kBusy,  // "busy": another\n', "manifests/README.md": "| `busy` | wait |"}
        self.assertEqual([], self.violations(files))

        for silent in ("nothing", "see `busy`", "| `busy` | |"):
            files["manifests/README.md"] = silent
            wrong, = self.violations(files)
            self.assertIn("busy", wrong)
