#!/usr/bin/python3
"""Tools that know nothing of cryopod read and carry its archives: skopeo, a registry, checkpointctl."""
import json
import unittest

import lab
import two_nodes
from two_nodes import PodTest, a, b, setUpModule, tearDownModule, unique  # noqa: F401

REGISTRY = "127.0.0.1:5000"
REGISTRY_CONFIG = f"""version: 0.1
storage:
  filesystem:
    rootdirectory: /var/lib/cryopod-test-registry
http:
  addr: {REGISTRY}
"""
ARTIFACT_TYPE = "application/vnd.cryopod.pod.checkpoint.v1"
COPY = ("skopeo", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", "--quiet")


class ForeignToolsTest(PodTest):
    @classmethod
    def setUpClass(cls):
        cls.make_origin(lab.container("one", "process_tree 3 2"), lab.container("two", "writer"),
                        labels={"app": "shown"})
        cls.file = f"/root/{cls.archive}.tar"
        a.ctl("export", cls.archive, "--file", cls.file)
        cls.files = {}
        for name in cls.source.containers:
            cls.files[name] = f"/root/{cls.archive}-{name}.tar"
            a.ctl("export", cls.archive, "--container", name, "--file", cls.files[name])

    def raw_index(self, reference):
        return json.loads(a.shell(f"skopeo inspect --tls-verify=false --raw {reference}"))

    def check_moved(self, file):
        """What came back is the same archive, byte for byte, and the pod is in it."""
        archive = unique("back")
        two_nodes.copy(a, file, b)
        imported = b.ctl_json("import", file, "--archive", archive)
        self.assertEqual(imported["digest"],
                         a.ctl_json("inspect", self.archive)["summary"]["digest"])
        self.assert_all_went_on(self.before, self.restore(archive))

    def start_registry(self):
        a.write("/root/registry.yml", REGISTRY_CONFIG)
        pid = a.shell("docker-registry serve /root/registry.yml >/root/registry.log 2>&1 & echo $!")
        self.addCleanup(a.exec, "kill", pid.strip(), check=False)
        lab.wait_until(lambda: REGISTRY in a.shell("ss -ltn"), "the registry listens")

    def test_skopeo_inspect_raw_shows_an_index_of_one_pod(self):
        index = self.raw_index(f"oci-archive:{self.file}")

        self.assertEqual(index["mediaType"], "application/vnd.oci.image.index.v1+json")
        self.assertEqual(index["artifactType"], ARTIFACT_TYPE)
        self.assertEqual(len(index["manifests"]), 3)

    def test_skopeo_copies_all_of_it_into_a_directory(self):
        directory = f"/root/{unique('directory')}"

        a.exec(*COPY, f"oci-archive:{self.file}", f"dir:{directory}")

        index = self.raw_index(f"oci-archive:{self.file}")
        there = a.shell(f"ls {directory}").split()
        for manifest in index["manifests"]:
            self.assertIn(manifest["digest"].removeprefix("sha256:") + ".manifest.json", there)
        self.assertEqual(json.loads(a.read(f"{directory}/manifest.json")), index)

    def test_an_archive_that_skopeo_has_copied_is_imported_and_restored(self):
        file = f"/root/{unique('copied')}.tar"

        a.exec(*COPY, f"oci-archive:{self.file}", f"oci-archive:{file}")

        self.check_moved(file)

    def test_an_archive_that_was_in_a_registry_is_imported_and_restored(self):
        self.start_registry()
        name = f"docker://{REGISTRY}/checkpoints/{self.archive}:latest"
        file = f"/root/{unique('pulled')}.tar"

        a.exec(*COPY, f"oci-archive:{self.file}", name)
        a.exec(*COPY, name, f"oci-archive:{file}")

        self.assertEqual(self.raw_index(name), self.raw_index(f"oci-archive:{self.file}"))
        self.check_moved(file)

    def test_checkpointctl_shows_both_containers_at_once(self):
        shown = a.exec("checkpointctl", "show", *self.files.values()).stdout

        self.assertIn(lab.WORKLOADS_IMAGE, shown)
        for name, container in self.source.containers.items():
            self.assertRegex(shown, rf"\b{name}\b")
            self.assertIn(container[:12], shown)

    def test_checkpointctl_tells_of_processes_files_and_mounts(self):
        shown = a.exec("checkpointctl", "inspect", "--all", self.files["one"]).stdout

        for word in (f"Pod name: {self.source.config['metadata']['name']}", "CRIU dump statistics",
                     "/tmp/process_tree.sock", "Destination: /etc/hostname"):
            self.assertIn(word, shown)

    def test_checkpointctl_shows_every_process_as_json(self):
        shown = json.loads(a.exec("checkpointctl", "inspect", "--all", "--format", "json",
                                  self.files["one"]).stdout)[0]

        def commands(process):
            return [process["command"]] + [
                command for child in process.get("children", []) for command in commands(child)]

        self.assertEqual(shown["container_name"], "one")
        self.assertEqual(commands(shown["process_tree"]), ["process_tree"] * 3)
        self.assertGreater(shown["statistics"]["pages_written"], 0)

    def test_the_container_tar_has_the_kubelets_files(self):
        names = a.shell(f"tar -tf {self.files['two']}").split("\n")

        found = {name.removeprefix("./").split("/")[0] for name in names if name}
        self.assertLessEqual({"config.dump", "spec.dump", "status.dump", "checkpoint",
                              "rootfs-diff.tar", "stats-dump", "dump.log"}, found)

    def test_the_container_tar_tells_what_was_written_and_what_was_deleted(self):
        written = a.shell(f"tar -xOf {self.files['two']} rootfs-diff.tar | tar -tf - 2>/dev/null")
        deleted = json.loads(a.shell(f"tar -xOf {self.files['two']} deleted.files"))

        self.assertLessEqual({"data/writer/plain", "srv/image/renamed", "srv/image/opaque/new"},
                             set(written.splitlines()))
        self.assertEqual(deleted, ["/srv/image/delete", "/srv/image/removed", "/srv/image/rename"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
