"""An archive that an older cryopod has written is read, verified and restored.

tests/e2e/old_archives holds one of each schema and cgroup version: a container whose program
(tick.cc there) and its count lie in the writable layer, so that no image need be what it was, which the
restore allows. Of the processor's flags they name those alone that every virtual machine has: the
program needs no others.
"""
import os
import pathlib
import unittest

from lab import wait_until
from two_nodes import PodTest, b, setUpModule, tearDownModule  # noqa: F401

STORED = pathlib.Path(__file__).resolve().parent / "old_archives"
CGROUP = os.environ.get("CRYOPOD_E2E_CGROUP", "v2")


class OldArchivesTest(PodTest):
    def carry(self, stored, name):
        with open(stored, "rb") as file:
            b.exec("sh", "-c", f"cat >/root/{name}.tar", stdin=file)
        b.ctl("import", f"/root/{name}.tar", "--archive", name)

    def count(self, pod):
        return int(pod.exec("tick", "cat", "/tick.count").stdout)

    def test_a_pod_in_an_archive_of_every_schema_goes_on_where_it_was(self):
        stored = sorted(STORED.glob(f"schema-*.{CGROUP}.tar"))
        self.assertTrue(stored)
        for path in stored:
            with self.subTest(archive=path.name):
                name = path.name.removesuffix(".tar")
                self.carry(path, name)
                b.ctl("verify", name)

                pod = self.restore(name, options=("--differences", "image"))

                # It had counted for some seconds; one that began anew would be at the beginning.
                first = self.count(pod)
                self.assertGreater(first, 50)
                wait_until(lambda: self.count(pod) > first, "it counts on")
                self.assertEqual(b.frozen_cgroups(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
