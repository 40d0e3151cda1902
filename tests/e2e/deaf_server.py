"""Runs in a node: a FUSE file system with one file, whose server does not answer the FLUSH that comes
with its closing once a file of this PATTERN exists: who has it open then cannot end, not by SIGKILL
either.

    deaf_server.py FOLDER PATTERN

Serves until it is killed; then everybody who waits for it goes on. Source: Linux
include/uapi/linux/fuse.h.
"""
import ctypes
import errno
import glob
import os
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, STATFS = 1, 2, 3, 14, 17
FLUSH, INIT, BATCH_FORGET = 25, 26, 42
HELD_INODE = 2
IN_HEADER = struct.Struct("<IIQQIIII")  # length, opcode, unique, node, uid, gid, pid, padding


def attributes(inode):
    mode = 0o40755 if inode == 1 else 0o100644
    return struct.pack("<6Q10I", inode, 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer_to(opcode, node, body):
    """Bytes, or the number of an error."""
    if opcode == INIT:
        major, minor, readahead = struct.unpack_from("<III", body)
        return struct.pack("<IIIIHHII", 7, min(minor, 31), readahead, 0, 1, 1, 4096, 1) + bytes(36)
    if opcode == LOOKUP:
        if body.rstrip(b"\0") != b"held":
            return errno.ENOENT
        return struct.pack("<4Q2I", HELD_INODE, 0, 3600, 3600, 0, 0) + attributes(HELD_INODE)
    if opcode == GETATTR:
        return struct.pack("<QII", 3600, 0, 0) + attributes(node)
    if opcode == OPEN:
        return struct.pack("<QII", 1, 0, 0)
    if opcode == STATFS:
        return struct.pack("<5Q10I", 0, 0, 0, 0, 0, 4096, 255, 4096, *[0] * 7)
    if opcode == FLUSH:
        return b""
    return errno.ENOSYS


def main():
    folder, pattern = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(b"deaf", folder.encode(), b"fuse", 0, options.encode()) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    while True:
        request = os.read(device, 1 << 17)
        _, opcode, unique, node, *_ = IN_HEADER.unpack_from(request)
        if opcode in (FORGET, BATCH_FORGET) or opcode == FLUSH and glob.glob(pattern):
            continue
        answer = answer_to(opcode, node, request[IN_HEADER.size:])
        error, body = (-answer, b"") if isinstance(answer, int) else (0, answer)
        os.write(device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)


main()
