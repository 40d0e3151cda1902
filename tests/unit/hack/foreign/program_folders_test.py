import pathlib
import tempfile
import unittest

import program_folders
from program_folders import NoProgram


class ProgramFoldersTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def write(self, path, text="", executable=False):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if executable else 0o644)

    def write_program(self, name):
        for script in ("start", "stop-and-verify"):
            self.write(f"{name}/{script}", "#!/bin/sh\n", executable=True)

    def programs(self):
        return {program.name: program
                for program in program_folders.programs_of_folder(self.folder)}

    def test_a_folder_says_how_its_program_is_run(self):
        self.write_program("shop")
        self.write("shop/load", executable=True)
        self.write("shop/packages", "redis-server  # the store\nnginx\n")
        self.write("shop/user", "www-data\n")

        shop = self.programs()["shop"]

        self.assertEqual(("nginx", "redis-server"), shop.packages)
        self.assertEqual("www-data", shop.user)
        self.assertEqual("", shop.problem)
        self.assertEqual(["/foreign/bin/supervise", "/foreign/program/start", "/foreign/program/load"],
                         shop.supervise())
        self.assertEqual(["/foreign/bin/probe", "-"], shop.probe())
        self.assertEqual(["/foreign/bin/finish", "7", "/foreign/program/stop-and-verify"],
                         shop.finish(7))

    def test_every_case_is_a_program_and_its_arguments_go_to_every_script(self):
        self.write_program("stress")
        self.write("stress/cases", "# two of them\ncpu --cpu 2\n\nodd --name 'a b'\n")

        programs = self.programs()

        self.assertEqual(["stress cpu", "stress odd"], list(programs))
        for command in (programs["stress odd"].supervise(), programs["stress odd"].probe(),
                        programs["stress odd"].finish(1)):
            self.assertEqual(["--name", "a b"], command[-2:])

    def test_a_program_without_a_script_that_it_needs_says_so_and_the_others_are_run(self):
        self.write_program("whole")
        self.write("half/start", executable=True)
        self.write("mode/start", executable=False)
        self.write("mode/stop-and-verify", executable=True)

        programs = self.programs()

        self.assertEqual("it has no stop-and-verify", programs["half"].problem)
        self.assertEqual("start is not executable", programs["mode"].problem)
        self.assertEqual("", programs["whole"].problem)

    def test_an_executable_file_is_a_test_program_of_criu_s_kind(self):
        self.write("pipe00", executable=True)
        self.write("pipe00.c")
        self.write("pipe00.hook", executable=True)
        self.write("lib.so", executable=True)
        self.write("packages", "libaio1t64")
        self.write("user", "0")

        programs = self.programs()

        self.assertEqual(["pipe00"], list(programs))
        self.assertEqual(["/foreign/bin/supervise", "/foreign/bin/start-daemon", "-",
                          "/foreign/program/pipe00"], programs["pipe00"].supervise())
        self.assertEqual(("libaio1t64",), programs["pipe00"].packages)
        self.assertEqual("0", programs["pipe00"].user)

    def test_a_folder_s_own_scripts_run_its_executable_files(self):
        self.write("one", executable=True)
        self.write("start", executable=True)
        self.write("ready", executable=True)

        one, = program_folders.programs_of_folder(self.folder)

        self.assertEqual("/foreign/program/start", one.start)
        self.assertEqual("/foreign/program/ready", one.ready)
        self.assertEqual("/foreign/bin/stop-daemon-and-verify", one.verify)

    def test_names_of_pods_hold_nothing_that_a_pod_may_not_be_called(self):
        self.write_program("Odd_Name (1)")
        self.assertEqual("odd-name-1", self.programs()["Odd_Name (1)"].slug)

    def test_a_folder_without_programs_is_refused(self):
        with self.assertRaisesRegex(NoProgram, "no such folder"):
            program_folders.programs_of_folder(self.folder / "absent")
        self.write("notes/README")
        with self.assertRaisesRegex(NoProgram, "no folder with a start"):
            program_folders.programs_of_folder(self.folder)

    def test_commands_become_a_folder_of_the_same_kind(self):
        program, = program_folders.program_of_commands(
            "cache", self.folder, ["memcached"], "memcache",
            {"start": "memcached", "stop-and-verify": "true", "load": None, "ready": None})

        self.assertEqual(("memcached",), program.packages)
        self.assertEqual("memcache", program.user)
        self.assertEqual("", program.problem)
        self.assertEqual("-", program.load)
        self.assertEqual("#!/bin/sh\nmemcached\n", (self.folder / "cache/start").read_text())
        with self.assertRaisesRegex(NoProgram, "--verify"):
            program_folders.program_of_commands("x", self.folder, [], None, {"start": "a"})
