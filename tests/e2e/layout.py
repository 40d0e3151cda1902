"""Archives in a node's store: image layouts that tests copy and damage."""
import json

STORE = "/var/lib/cryopod/archives"
CRIU_IMAGES = "application/vnd.cryopod.checkpoint.criu.v1.tar+zstd"
# Arguments: file, where in it (0 to 1).
FLIP_A_BIT = """
import os, sys
with open(sys.argv[1], "r+b") as file:
    at = int((os.path.getsize(sys.argv[1]) - 1) * float(sys.argv[2]))
    file.seek(at)
    byte = file.read(1)[0]
    file.seek(at)
    file.write(bytes([byte ^ 4]))
"""


class Layout:
    """One archive in the store of a node."""

    def __init__(self, node, name):
        self.node = node
        self.name = name
        self.path = f"{STORE}/{name}"

    def copy(self, name):
        # By the way that leads into a store: the name of an archive is part of it.
        file = f"/root/{name}.tar"
        self.node.ctl("export", self.name, "--file", file)
        self.node.ctl("import", file, "--archive", name)
        self.node.exec("rm", file)
        return Layout(self.node, name)

    def remove(self):
        self.node.exec("rm", "-rf", self.path)

    def blob_path(self, descriptor):
        return f"{self.path}/blobs/sha256/{descriptor['digest'].removeprefix('sha256:')}"

    def blobs(self):
        """Every blob: (what it is, path): manifests are called by the type of their artefact, others by
        their own."""
        index = json.loads(self.node.read(f"{self.path}/index.json"))
        pod_index = index["manifests"][0]
        found = [("pod index", self.blob_path(pod_index))]
        for manifest in json.loads(self.node.read(self.blob_path(pod_index)))["manifests"]:
            content = json.loads(self.node.read(self.blob_path(manifest)))
            found.append((content["artifactType"], self.blob_path(manifest)))
            found += [(blob["mediaType"], self.blob_path(blob))
                      for blob in (content["config"], *content["layers"])]
        return list(dict.fromkeys(found))

    def blob(self, kind):
        """The path of the first blob of this kind."""
        return next(path for found, path in self.blobs() if found == kind)

    def flip_a_bit(self, path, where=0.5):
        self.node.exec("python3", "-c", FLIP_A_BIT, path, str(where))
