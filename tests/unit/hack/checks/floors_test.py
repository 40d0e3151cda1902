import pathlib
import tempfile
import unittest

from checks import floors
from checks.source_tree import SourceTree

CMAKE = {
    "agent/os": "cryopod_module(os FLOOR 0 SOURCES a.cc)",
    "agent/criu": "# cryopod_module(none)\ncryopod_proto(criu_proto LITE PROTO proto/rpc.proto)\n"
                  "cryopod_module(criu FLOOR 1\n  SOURCES a.cc  # b.cc\n  USES os)",
    "agent/archive/tar": "cryopod_module(tar FLOOR 1 SOURCES a.cc USES os)\n"
                         "cryopod_program(tar-main FLOOR 1 SOURCES main.cc USES criu tar FOR_TESTS)",
    "agent/checkpoint": "cryopod_module(checkpoint FLOOR 2 SOURCES a.cc USES criu LIBRARIES z)",
    "restore": "cryopod_module(restore FLOOR 2 SOURCES a.cc USES tar)",
}


class FloorsTest(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.files = [self.write(f"{folder}/CMakeLists.txt", text) for folder, text in CMAKE.items()]

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return path

    def violations(self, path, text=""):
        self.write(path, text)
        return floors.check(SourceTree(self.root, self.files + [path])).violations

    def one_violation(self, path, text=""):
        violations = self.violations(path, text)
        self.assertEqual(1, len(violations), violations)
        return violations[0]

    def test_a_file_includes_its_own_module_and_what_that_uses(self):
        self.assertEqual([], self.violations("agent/checkpoint/a.cc", """\
#include "agent/checkpoint/freeze.h"
#include <vector>
#include "agent/criu/criu_client.h"
#include "agent/criu/proto/rpc.pb.h"
"""))

    def test_what_is_used_through_another_is_used(self):
        self.assertEqual([], self.violations("restore/a.h", '#include "agent/os/file.h"\n'))

    def test_an_include_of_what_is_not_used_is_named_with_its_line(self):
        for path, included in [("agent/os/a.cc", "agent/criu/x.h"),
                               ("agent/criu/a.cc", "agent/archive/tar/x.h"),
                               ("restore/a.h", "agent/checkpoint/x.h")]:
            violation = self.one_violation(path, f'\n#include "{included}"\n')
            self.assertTrue(violation.startswith(f"{path}:2: "), violation)

    def test_a_main_uses_what_its_program_uses_and_not_its_folder(self):
        self.assertEqual([], self.violations("agent/archive/tar/main.cc", '#include "agent/criu/x.h"\n'))
        self.assertIn("tar does not use criu", self.one_violation(
            "agent/archive/tar/a.cc", '#include "agent/criu/x.h"\n'))

    def test_every_source_is_named_and_every_folder_has_a_module(self):
        for path in ("agent/criu/b.cc", "agent/os/main.cc"):
            self.assertIn("names it among its SOURCES", self.one_violation(path))
        for path in ("agent/criu/deeper/a.cc", "cri/a.h"):
            self.assertIn("the folder has no module", self.one_violation(path))

    def test_agent_itself_holds_rooms_only(self):
        for path in ("agent/a.cc", "agent/notes.md"):
            self.assertIn("rooms", self.one_violation(path))
        for path in ("agent/CMakeLists.txt", "agent/README.md"):
            self.assertEqual([], self.violations(path))

    def test_foreign_headers_stay_out_of_ours(self):
        for included in ["<nlohmann/json.hpp>", "<grpcpp/grpcpp.h>", '"agent/criu/proto/rpc.pb.h"',
                         "<prometheus/counter.h>", "<cpprest/http_client.h>"]:
            self.one_violation("agent/criu/a.h", f"#include {included}\n")
            self.assertEqual([], self.violations("agent/criu/a.cc", f"#include {included}\n"))

    def test_the_ground_floor_uses_no_library(self):
        self.one_violation("agent/os/a.cc", "#include <openssl/sha.h>\n")
        self.assertEqual([], self.violations("agent/os/a.cc", "#include <sys/wait.h>\n"))

    def test_ours_are_named_from_the_root(self):
        self.one_violation("agent/os/a.cc", '#include "file.h"\n')
        self.one_violation("agent/os/a.cc", '#include "tests/support/x.h"\n')

    def test_a_comment_includes_nothing(self):
        self.assertEqual([], self.violations(
            "agent/os/a.cc", '// #include "agent/jobs.h"\n/*\n#include "agent/jobs.h"\n*/\n'))
