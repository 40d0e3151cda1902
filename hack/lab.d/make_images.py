"""Makes the lab's test images without any container tool: one OCI archive that holds them all.

usage: make_images.py OUT.tar BUSYBOX PAUSE WORKLOADS_DIRECTORY
"""
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

USERS = {"root": 0, "app": 1000, "other": 1001, "third": 2000}
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


class Layer:
    """A layer under construction; every time stamp is 0, so equal content has an equal digest."""

    def __init__(self):
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)

    def directory(self, path, mode=0o755, owner=0):
        self._add(path, tarfile.DIRTYPE, mode, owner)

    def file(self, path, content, mode=0o644, owner=0):
        self._add(path, tarfile.REGTYPE, mode, owner, content=content)

    def symlink(self, path, target):
        self._add(path, tarfile.SYMTYPE, 0o777, 0, target=target)

    def hard_link(self, path, target, mode=0o644, owner=0):
        self._add(path, tarfile.LNKTYPE, mode, owner, target=target)

    def program(self, path, source):
        with open(source, "rb") as file:
            self.file(path, file.read(), mode=0o755)

    def bytes(self):
        self._tar.close()
        return self._buffer.getvalue()

    def _add(self, path, kind, mode, owner, content=b"", target=""):
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.linkname = kind, mode, target
        entry.uid = entry.gid = owner
        entry.size = len(content)
        self._tar.addfile(entry, io.BytesIO(content))


class OciArchive:
    """An OCI image layout in one tar file."""

    def __init__(self):
        self._blobs = {}
        self._manifests = []

    def add_image(self, name, layers, entrypoint, volumes=(), labels=None):
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": entrypoint, "Env": ["PATH=/bin"], "WorkingDir": "/",
                       "Volumes": {path: {} for path in volumes}, "Labels": labels or {}},
            "rootfs": {"type": "layers",
                       "diff_ids": ["sha256:" + hashlib.sha256(l).hexdigest() for l in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": self._put("application/vnd.oci.image.config.v1+json", to_json(config)),
            "layers": [self._put("application/vnd.oci.image.layer.v1.tar+gzip",
                                 gzip.compress(l, 1, mtime=0)) for l in layers],
        }
        descriptor = self._put(MANIFEST_TYPE, to_json(manifest))
        descriptor["annotations"] = {"io.containerd.image.name": name,
                                     "org.opencontainers.image.ref.name": name}
        self._manifests.append(descriptor)

    def write(self, path):
        with tarfile.open(path, "w") as tar:
            index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                     "manifests": self._manifests}
            files = {"oci-layout": to_json({"imageLayoutVersion": "1.0.0"}),
                     "index.json": to_json(index)}
            files.update({"blobs/sha256/" + digest: blob for digest, blob in self._blobs.items()})
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))

    def _put(self, media_type, blob):
        digest = hashlib.sha256(blob).hexdigest()
        self._blobs[digest] = blob
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(blob)}


def to_json(value):
    return json.dumps(value, sort_keys=True).encode()


def pause_layer(pause):
    layer = Layer()
    for path in ("proc", "sys", "dev", "etc"):
        layer.directory(path)
    layer.program("pause", pause)
    return layer.bytes()


def busybox_layer(busybox):
    layer = Layer()
    for path in ("bin", "dev", "etc", "home", "proc", "root", "run", "srv", "sys", "usr", "var",
                 "var/lib", "var/log"):
        layer.directory(path)
    # As in any real distribution; destinations of mounts must be resolved through such links.
    layer.symlink("var/run", "../run")
    layer.directory("tmp", 0o1777)
    layer.directory("data", 0o1777)
    users = [f"{name}:x:{uid}:{uid}:{name}:/home/{name}:/bin/sh\n" for name, uid in USERS.items()]
    groups = [f"{name}:x:{uid}:\n" for name, uid in USERS.items()]
    layer.file("etc/passwd", "".join(users).encode())
    layer.file("etc/group", "".join(groups).encode())
    for name, uid in USERS.items():
        layer.directory(f"home/{name}", 0o700, uid)
    layer.program("bin/busybox", busybox)
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, timeout=30)
    for applet in applets.stdout.decode().split():
        if applet != "busybox":
            layer.symlink(f"bin/{applet}", "busybox")
    image_files(layer)
    return layer.bytes()


def image_files(layer):
    """Files of the image that a container can delete, rename, change or hide."""
    layer.directory("srv/image", 0o777)
    for name in ("keep", "delete", "rename", "overwrite", "chmod", "chown"):
        layer.file(f"srv/image/{name}", f"{name} of the image\n".encode(), 0o644)
    layer.file("srv/image/of_app", b"of app\n", 0o640, USERS["app"])
    layer.hard_link("srv/image/of_app_too", "srv/image/of_app", 0o640, USERS["app"])
    layer.symlink("srv/image/link", "keep")
    for directory in ("opaque", "removed", "untouched"):
        layer.directory(f"srv/image/{directory}", 0o777)
        layer.directory(f"srv/image/{directory}/deep", 0o777, USERS["other"])
        for name in ("one", "two", "deep/three"):
            layer.file(f"srv/image/{directory}/{name}", f"{name} of the image\n".encode(), 0o666)


def workloads_layer(directory):
    layer = Layer()
    for name in sorted(os.listdir(directory)):
        layer.program(f"bin/{name}", os.path.join(directory, name))
    return layer.bytes()


def main():
    out, busybox, pause, workloads = sys.argv[1:]
    archive = OciArchive()
    base = busybox_layer(busybox)
    archive.add_image("lab.local/pause:1", [pause_layer(pause)], ["/pause"])
    archive.add_image("lab.local/busybox:1", [base], ["/bin/sh"])
    archive.add_image("lab.local/workloads:1", [base, workloads_layer(workloads)], ["/bin/sh"])
    # Another image, by which the same programs can run.
    archive.add_image("lab.local/workloads:2", [base, workloads_layer(workloads)], ["/bin/sh"],
                      labels={"version": "2"})
    # As the usual images of databases: the runtime makes a volume for each container.
    archive.add_image("lab.local/volume:1", [base, workloads_layer(workloads)], ["/bin/sh"],
                      volumes=["/data"])
    archive.write(out)


if __name__ == "__main__":
    main()
