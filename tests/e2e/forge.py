"""Archives that nobody honest has written: valid in every digest, with CRIU images that say what the
forger likes."""
import json

from layout import Layout

# Arguments: the layout's directory, a mount point. Takes that mount out of the images of every
# container, and gives each blob that leads to them a digest that is right.
WITHOUT_MOUNT = r"""
import hashlib, io, json, os, struct, subprocess, sys, tarfile

layout, mount_point = sys.argv[1], sys.argv[2].encode()
IMAGES = "application/vnd.cryopod.checkpoint.criu.v1.tar+zstd"
taken = 0


def blob(descriptor):
    return f"{layout}/blobs/sha256/{descriptor['digest'].removeprefix('sha256:')}"


def write(descriptor, content):
    # A store keeps no blob that nothing leads to.
    os.unlink(blob(descriptor))
    digest = hashlib.sha256(content).hexdigest()
    with open(f"{layout}/blobs/sha256/{digest}", "wb") as file:
        file.write(content)
    descriptor.update(digest=f"sha256:{digest}", size=len(content))


def zstd(content, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=content, check=True,
                          stdout=subprocess.PIPE).stdout


def fields(message):
    # The numbers and values of a protobuf message's fields.
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = number()
        if key & 7 == 2:
            length = number()
            yield key >> 3, message[at:at + length]
            at += length
        else:
            yield key >> 3, number()


def without_mount(image):
    # Two magic numbers, then entries of a length and a mnt_entry; its field 7 is the mount point.
    global taken
    kept, at = image[:8], 8
    while at < len(image):
        size, = struct.unpack_from("<I", image, at)
        entry = image[at + 4:at + 4 + size]
        if dict(fields(entry))[7].lstrip(b".") == mount_point:
            taken += 1
        else:
            kept += image[at:at + 4 + size]
        at += 4 + size
    return kept


def forge(layer):
    old = tarfile.open(fileobj=io.BytesIO(zstd(open(blob(layer), "rb").read(), "-d")))
    packed = io.BytesIO()
    new = tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT)
    for member in old:
        content = old.extractfile(member).read() if member.isfile() else b""
        if os.path.basename(member.name).startswith("mountpoints-"):
            content = without_mount(content)
            member.size = len(content)
        new.addfile(member, io.BytesIO(content))
    new.close()
    write(layer, zstd(packed.getvalue()))


index = json.load(open(f"{layout}/index.json"))
pod = json.load(open(blob(index["manifests"][0])))
for described in pod["manifests"]:
    manifest = json.load(open(blob(described)))
    for layer in manifest["layers"]:
        if layer["mediaType"] == IMAGES:
            forge(layer)
    write(described, json.dumps(manifest).encode())
write(index["manifests"][0], json.dumps(pod).encode())
with open(f"{layout}/index.json", "w") as file:
    json.dump(index, file, sort_keys=True, separators=(",", ":"))
print(taken)
"""


def without_mount(node, archive, mount_point):
    """Takes a mount out of an archive in the node's store; returns how many it took."""
    layout = Layout(node, archive)
    taken = node.exec("python3", "-c", WITHOUT_MOUNT, layout.path, mount_point).stdout
    return json.loads(taken)
