"""Every field of CRIU's images that carry rights has its row in restore/image_fields.md.

The fields are those of the CRIU that the lab's nodes run, read out of the program itself: protobuf-c
describes each message in its read-only data (protobuf-c.h, ProtobufCMessageDescriptor)."""
import os
import pathlib
import re
import struct
import unittest

import lab

TABLE = lab.REPOSITORY / "restore" / "image_fields.md"
CRIU = pathlib.Path(os.environ.get("CRYOPOD_LAB_DIR", "/var/lib/cryopod-lab")) / "root/usr/sbin/criu"
MAGIC = struct.pack("<I", 0x28aaeef9)
RELATIVE, RELA, LOAD = 8, 4, 1
MESSAGES = {"core_entry", "task_core_entry", "thread_core_entry", "task_rlimits_entry", "rlimit_entry",
            "creds_entry", "mnt_entry", "seccomp_entry", "seccomp_filter", "mm_entry", "vma_entry",
            "file_entry", "reg_file_entry", "inventory_entry"}


class Program:
    """An ELF file of 64 bits, whose pointers are relative relocations."""

    def __init__(self, path):
        self.bytes = path.read_bytes()
        programs, sections = struct.unpack_from("<QQ", self.bytes, 0x20)
        _, size, count, section_size, section_count, _ = struct.unpack_from("<6H", self.bytes, 0x34)
        self.loaded = []
        for i in range(count):
            kind, _, offset, address, _, length, _, _ = struct.unpack_from(
                "<IIQQQQQQ", self.bytes, programs + i * size)
            if kind == LOAD:
                self.loaded.append((address, offset, length))
        self.pointers = {}
        for i in range(section_count):
            _, kind, _, _, offset, length, *_ = struct.unpack_from(
                "<IIQQQQIIQQ", self.bytes, sections + i * section_size)
            for at in range(offset, offset + length, 24) if kind == RELA else ():
                place, info, target = struct.unpack_from("<QQq", self.bytes, at)
                if info & 0xffffffff == RELATIVE:
                    self.pointers[place] = target

    def offset(self, address):
        return next(offset + address - start for start, offset, length in self.loaded
                    if start <= address < start + length)

    def text(self, address):
        start = self.offset(self.pointers[address])
        return self.bytes[start:self.bytes.index(b"\0", start)].decode()

    def messages(self):
        for address, offset, length in self.loaded:
            at = self.bytes.find(MAGIC, offset, offset + length)
            while at >= 0:
                message = address + at - offset
                if message + 8 in self.pointers:
                    yield self.text(message + 8), set(self.fields(message, at))
                at = self.bytes.find(MAGIC, at + 4, offset + length)

    def fields(self, message, at):
        count, = struct.unpack_from("<I", self.bytes, at + 48)
        for i in range(count):
            yield self.text(self.pointers[message + 56] + 72 * i)


def rows():
    fields = {}
    for line in TABLE.read_text().splitlines():
        row = re.match(r"\| (\w+) \| ([\w, ]+) \| (rewritten|checked|afterwards|harmless) \| .+ \|$", line)
        if row:
            fields.setdefault(row[1], []).extend(row[2].split(", "))
    return fields


class ImageFieldsTest(unittest.TestCase):
    def test_every_field_that_criu_knows_has_one_row_and_no_other_has(self):
        known = dict(Program(CRIU).messages())
        described = rows()
        self.assertEqual(set(described), MESSAGES)
        for message in sorted(MESSAGES):
            with self.subTest(message=message):
                self.assertEqual(sorted(described[message]), sorted(known[message]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
