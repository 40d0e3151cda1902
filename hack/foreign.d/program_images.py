"""Images of foreign programs: folders become layers, layers an OCI archive for containerd."""
import hashlib
import io
import json
import os
import pathlib
import stat
import subprocess
import sys
import tarfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "hack" / "lab.d"))
from make_images import MANIFEST_TYPE, to_json  # noqa: E402
from program_folders import HOME  # noqa: E402

CONTAINER_SCRIPTS = REPOSITORY / "hack" / "foreign.d" / "container"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LAYERS_TIMEOUT_S = 1500
# Kept beside the image, or made by the runtime.
LEFT_OUT = ("proc/", "sys/", "dev/", "var/lib/apt/lists/", "var/cache/apt/")


class NoImage(Exception):
    """An image that cannot be made; says why."""


class Images:
    """The images of a run. Equal parts are made once, and carried once."""

    def __init__(self, scratch):
        self._scratch = pathlib.Path(scratch)
        self._folders = {}   # packages → folders, or why there are none
        self._blobs = {}     # what it was made from → (digest, size, path)
        self._manifests = {}  # name → descriptor

    def add(self, program):
        """Makes the image of a program. Returns (name, uid, gid)."""
        folders = self._layer_folders(program.packages)
        uid, gid = find_user(program.user, folders)
        layers = [self._blob(str(folder), lambda tar, f=folder: add_folder(tar, f))
                  for folder in folders]
        layers.append(self._blob(f"{program.folder} {uid} {gid}",
                                 lambda tar: add_program(tar, program.folder, uid, gid)))
        name = self._add_manifest(layers)
        return name, uid, gid

    def write(self, path):
        """All images as one OCI archive."""
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                 "manifests": list(self._manifests.values())}
        with tarfile.open(path, "w") as tar:
            _add_bytes(tar, "oci-layout", to_json({"imageLayoutVersion": "1.0.0"}))
            _add_bytes(tar, "index.json", to_json(index))
            for digest, _, source in self._blobs.values():
                tar.add(source, f"blobs/sha256/{digest}")

    def _layer_folders(self, packages):
        if packages not in self._folders:
            self._folders[packages] = lab_layers(packages)
        found = self._folders[packages]
        if isinstance(found, str):
            raise NoImage(found)
        return found

    def _blob(self, key, fill):
        if key not in self._blobs:
            path = self._scratch / f"layer-{len(self._blobs)}"
            with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
                fill(tar)
            self._blobs[key] = (*_digest(path), path)
        return self._blobs[key]

    def _add_manifest(self, layers):
        config = to_json({
            "architecture": "amd64", "os": "linux",
            "config": {"Env": [PATH], "WorkingDir": HOME},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer[0]}" for layer in layers]}})
        manifest = to_json({
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
            "config": self._put(config, CONFIG_TYPE),
            "layers": [{"mediaType": LAYER_TYPE, "digest": f"sha256:{digest}", "size": size}
                       for digest, size, _ in layers]})
        descriptor = self._put(manifest, MANIFEST_TYPE)
        # By its content: a lab that stays up must not run the image of an earlier run.
        name = f"lab.local/foreign:{descriptor['digest'][7:23]}"
        descriptor["annotations"] = {"io.containerd.image.name": name,
                                     "org.opencontainers.image.ref.name": name}
        self._manifests[name] = descriptor
        return name

    def _put(self, content, media_type):
        digest = hashlib.sha256(content).hexdigest()
        path = self._scratch / digest
        path.write_bytes(content)
        self._blobs[digest] = (digest, len(content), path)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def lab_layers(packages):
    """The folders that `hack/lab layers` gives for these packages, or why it cannot."""
    try:
        answer = subprocess.run([REPOSITORY / "hack" / "lab", "layers", *packages], text=True,
                                stdin=subprocess.DEVNULL, capture_output=True,
                                timeout=LAYERS_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"no image within {LAYERS_TIMEOUT_S} s"
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines() or ["hack/lab layers failed"]
        return lines[-1].removeprefix("hack/lab: ")
    return [pathlib.Path(line) for line in answer.stdout.split()]


def find_user(user, folders):
    """uid and gid of a name or of a number, as the image's passwd has it."""
    passwd = next((folder / "etc/passwd" for folder in reversed(folders)
                   if (folder / "etc/passwd").exists()), None)
    for line in passwd.read_text().splitlines() if passwd else []:
        name, _, uid, gid = line.split(":")[:4]
        if user in (name, uid):
            return int(uid), int(gid)
    if user.isdigit():
        return int(user), int(user)
    raise NoImage(f"the image has no user {user}")


def add_folder(tar, folder):
    """A folder of `hack/lab layers`; overlayfs' marks become those of OCI layers."""
    for directory, names, files in os.walk(folder):
        names.sort()
        inside = os.path.relpath(directory, folder)
        if inside != ".":
            _add_entry(tar, directory, inside)
            if _is_opaque(directory):
                _add_bytes(tar, f"{inside}/.wh..wh..opq", b"")
        for name in sorted(files + [n for n in names if os.path.islink(f"{directory}/{n}")]):
            path = os.path.normpath(f"{inside}/{name}")
            if path.startswith(LEFT_OUT):
                continue
            found = os.lstat(f"{directory}/{name}")
            if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
                _add_bytes(tar, os.path.normpath(f"{inside}/.wh.{name}"), b"")
            elif not stat.S_ISSOCK(found.st_mode):
                _add_entry(tar, f"{directory}/{name}", path)


def add_program(tar, folder, uid, gid):
    """The program's folder, our scripts, and a folder of its user's own to work in."""
    _add_tree(tar, CONTAINER_SCRIPTS, "foreign/bin")
    _add_tree(tar, folder, "foreign/program")
    home = tarfile.TarInfo(HOME.strip("/"))
    home.type, home.mode, home.uid, home.gid = tarfile.DIRTYPE, 0o755, uid, gid
    tar.addfile(home)


def _add_tree(tar, folder, name):
    def as_root(entry):
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode |= 0o444 | (0o111 if entry.mode & 0o100 or entry.isdir() else 0)
        return entry

    tar.add(folder, name, filter=as_root)


def _add_entry(tar, path, name):
    entry = tar.gettarinfo(path, name)
    entry.uname = entry.gname = ""
    if entry.isreg():
        with open(path, "rb") as file:
            tar.addfile(entry, file)
    else:
        tar.addfile(entry)


def _add_bytes(tar, name, content):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _is_opaque(directory):
    try:
        return os.getxattr(directory, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
