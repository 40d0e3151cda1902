import pathlib
import tempfile
import unittest

from checks import floors
from checks.source_tree import SourceTree


class FloorsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        self.addCleanup(self.folder.cleanup)

    def violations(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return floors.check(SourceTree(self.root, [path])).violations

    def test_an_include_goes_down_or_stays(self):
        self.assertEqual([], self.violations("agent/checkpoint/freeze.cc", """\
#include "agent/checkpoint/freeze.h"
#include <vector>
#include "agent/os/cgroup.h"
#include "agent/criu/criu_client.h"
"""))
        self.assertEqual([], self.violations(
            "restore/stage.cc", '#include "restore/runtime/protocol/runtime.pb.h"\n'))

    def test_an_include_upward_is_named_with_its_line(self):
        violations = self.violations("agent/os/file.cc", '\n#include "agent/criu/criu_log.h"\n')

        self.assertEqual(1, len(violations))
        self.assertTrue(violations[0].startswith("agent/os/file.cc:2:"), violations)
        self.assertIn("upward", violations[0])

    def test_an_include_sideways_is_refused(self):
        for path, included in [("cri/a.cc", "agent/archive/b.h"),
                               ("agent/checkpoint/a.cc", "restore/b.h"),
                               ("restore/runtime/a.cc", "restore/b.h"),
                               ("agent/ctl/a.cc", "agent/jobs.h")]:
            violations = self.violations(path, f'#include "{included}"\n')
            self.assertEqual(1, len(violations), path)
            self.assertIn("sideways", violations[0])

    def test_a_folder_inside_a_module_belongs_to_it(self):
        self.assertEqual("agent/criu", floors.module_of("agent/criu/plugin/launcher.cc"))
        self.assertEqual("restore/runtime/protocol",
                         floors.module_of("restore/runtime/protocol/a.h"))
        self.assertEqual("agent", floors.module_of("agent/daemon/main.cc"))
        self.assertIsNone(floors.module_of("tests/a.h"))

    def test_foreign_headers_stay_out_of_ours(self):
        for included in ["<nlohmann/json.hpp>", "<grpcpp/grpcpp.h>", '"agent/api/cryopod.pb.h"',
                         "<prometheus/counter.h>", "<cpprest/http_client.h>"]:
            self.assertEqual(1, len(self.violations("agent/jobs.h", f"#include {included}\n")))
            self.assertEqual([], self.violations("agent/jobs.cc", f"#include {included}\n"))

    def test_the_ground_floor_uses_no_library(self):
        self.assertEqual(1, len(self.violations("agent/os/a.cc", "#include <openssl/sha.h>\n")))
        self.assertEqual([], self.violations("agent/os/a.cc", "#include <sys/wait.h>\n"))

    def test_ours_are_named_from_the_root(self):
        self.assertEqual(1, len(self.violations("agent/os/a.cc", '#include "file.h"\n')))
        self.assertEqual(1, len(self.violations("agent/a.cc", '#include "tests/support/x.h"\n')))

    def test_a_comment_includes_nothing(self):
        self.assertEqual([], self.violations(
            "agent/os/a.cc", '// #include "agent/jobs.h"\n/*\n#include "agent/jobs.h"\n*/\n'))


if __name__ == "__main__":
    unittest.main()
