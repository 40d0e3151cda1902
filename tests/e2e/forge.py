"""Archives that nobody honest has written: valid in every digest, with CRIU images that say what the
forger likes."""
import json

from layout import Layout

# Arguments: the layout's directory, what is forged in the images of every container, and of what:
# "without-mount" and a mount point, or "with-node" and a name in /dev, of the block device 8:0. Gives
# each blob that leads to them a digest that is right.
FORGE = r"""
import gzip, hashlib, io, json, os, struct, subprocess, sys, tarfile

layout, what, of = sys.argv[1:]
IMAGES = "application/vnd.cryopod.checkpoint.criu.v1.tar+zstd"
forged = 0


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
    global forged
    kept, at = image[:8], 8
    while at < len(image):
        size, = struct.unpack_from("<I", image, at)
        entry = image[at + 4:at + 4 + size]
        if dict(fields(entry))[7].lstrip(b".") == of.encode():
            forged += 1
        else:
            kept += image[at:at + 4 + size]
        at += 4 + size
    return kept


def with_node(image):
    global forged
    tar = gzip.decompress(image)
    node = tarfile.TarInfo(f"./{of}")
    node.type, node.mode, node.devmajor, node.devminor = tarfile.BLKTYPE, 0o666, 8, 0
    forged += 1
    end = len(tar.rstrip(b"\0")) + 511 & ~511
    return gzip.compress(tar[:end] + node.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


CHANGES = {"without-mount": ("mountpoints-", without_mount), "with-node": ("tmpfs-dev-", with_node)}


def forge(layer):
    prefix, change = CHANGES[what]
    old = tarfile.open(fileobj=io.BytesIO(zstd(open(blob(layer), "rb").read(), "-d")))
    packed = io.BytesIO()
    new = tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT)
    for member in old:
        content = old.extractfile(member).read() if member.isfile() else b""
        if os.path.basename(member.name).startswith(prefix):
            content = change(content)
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
print(forged)
"""


def forge(node, archive, what, of):
    """In an archive in the node's store; returns how often."""
    layout = Layout(node, archive)
    return json.loads(node.exec("python3", "-c", FORGE, layout.path, what, of).stdout)


def without_mount(node, archive, mount_point):
    return forge(node, archive, "without-mount", mount_point)


def with_node(node, archive, name):
    return forge(node, archive, "with-node", name)
