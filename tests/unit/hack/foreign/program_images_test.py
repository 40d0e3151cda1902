import io
import os
import pathlib
import stat
import tarfile
import tempfile
import unittest

import program_images
from program_images import NoImage


class ProgramImagesTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def write(self, path, text=""):
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def entries(self, fill):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            fill(tar)
        buffer.seek(0)
        with tarfile.open(fileobj=buffer) as tar:
            return {entry.name: entry for entry in tar}

    def test_a_user_is_found_by_name_or_number_in_the_highest_layer(self):
        self.write("low/etc/passwd", "root:x:0:0::/:/bin/sh\n")
        self.write("high/etc/passwd", "root:x:0:0::/:/bin/sh\nredis:x:101:102::/:/bin/sh\n")
        self.write("none/etc/hosts")
        folders = [self.folder / name for name in ("low", "high", "none")]

        self.assertEqual((101, 102), program_images.find_user("redis", folders))
        self.assertEqual((101, 102), program_images.find_user("101", folders))
        self.assertEqual((4000, 4000), program_images.find_user("4000", folders))
        with self.assertRaisesRegex(NoImage, "no user absent"):
            program_images.find_user("absent", folders)

    def test_a_layer_leaves_out_what_the_runtime_or_apt_makes(self):
        self.write("usr/bin/tool")
        self.write("var/lib/apt/lists/huge")
        self.write("proc/left")
        (self.folder / "bin").symlink_to("usr/bin")

        names = self.entries(lambda tar: program_images.add_folder(tar, self.folder))

        self.assertIn("usr/bin/tool", names)
        self.assertIn("proc", names)
        self.assertTrue(names["bin"].issym())
        self.assertFalse({"var/lib/apt/lists/huge", "proc/left"} & set(names))

    @unittest.skipIf(os.geteuid() != 0, "device nodes are root's to make")
    def test_what_a_package_removed_is_marked_as_oci_layers_mark_it(self):
        self.write("etc/kept")
        os.mknod(self.folder / "etc/gone", stat.S_IFCHR, os.makedev(0, 0))

        names = self.entries(lambda tar: program_images.add_folder(tar, self.folder))

        self.assertEqual({"etc", "etc/kept", "etc/.wh.gone"}, set(names))
        self.assertTrue(names["etc/.wh.gone"].isreg())

    def test_a_program_s_layer_has_its_folder_our_scripts_and_a_place_to_work(self):
        self.write("start", "#!/bin/sh\n")
        (self.folder / "start").chmod(0o700)

        names = self.entries(
            lambda tar: program_images.add_program(tar, self.folder, uid=101, gid=102))

        self.assertEqual(0o755, names["foreign/program/start"].mode)
        self.assertEqual(0, names["foreign/program/start"].uid)
        self.assertTrue(names["foreign/bin/supervise"].mode & 0o111)
        self.assertEqual((101, 102), (names["foreign/home"].uid, names["foreign/home"].gid))

    def test_equal_parts_of_images_are_made_once(self):
        images = program_images.Images(self.folder)
        made = []

        def fill(tar):
            made.append(tar)

        self.assertEqual(images._blob("base", fill), images._blob("base", fill))
        self.assertEqual(1, len(made))
