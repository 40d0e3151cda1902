"""Writes to redis and keeps a ledger: "ask N" before a write, "got N" once it is acknowledged."""
import hashlib
import socket
import sys
import time

LEDGER = "/foreign/home/ledger"


class Redis:
    def __init__(self):
        self._socket = socket.create_connection(("127.0.0.1", 6379), timeout=10)
        self._answers = self._socket.makefile("rb")

    def __call__(self, *words):
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            word = str(word).encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self._socket.sendall(b"".join(parts))
        answer = self._answers.readline()
        if not answer.endswith(b"\r\n"):
            raise ConnectionError("closed")
        if answer[:1] == b"$" and int(answer[1:]) >= 0:
            return self._answers.read(int(answer[1:]) + 2)[:-2].decode()
        if answer[:1] == b"-":
            raise ConnectionError(answer.decode())
        return None if answer[:1] == b"$" else answer[1:-2].decode()


def value_of(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def read():
    """Numbers asked for, and numbers acknowledged."""
    try:
        with open(LEDGER) as file:
            lines = [line.split() for line in file if line.endswith("\n")]
    except FileNotFoundError:
        lines = []
    return ({int(number) for kind, number in lines if kind == "ask"},
            {int(number) for kind, number in lines if kind == "got"})


def write():
    number = max(read()[0], default=0) + 1
    with open(LEDGER, "a", buffering=1) as ledger:
        while True:
            try:
                redis = Redis()
                while True:
                    ledger.write(f"ask {number}\n")
                    redis("SET", f"ledger:{number}", value_of(number))
                    redis("INCR", "ledger:count")
                    ledger.write(f"got {number}\n")
                    number += 1
                    time.sleep(0.002)
            except OSError:
                # Whether the write arrived nobody knows.
                number += 1
                time.sleep(0.1)


def check():
    asked, got = read()
    redis = Redis()
    for number in sorted(got):
        found = redis("GET", f"ledger:{number}")
        if found != value_of(number):
            sys.exit(f"acknowledged write {number} of {len(got)}: {found}")
    count = int(redis("GET", "ledger:count"))
    if not len(got) <= count <= len(asked):
        sys.exit(f"the counter is {count}: {len(got)} acknowledged, {len(asked)} asked")
    print(f"{len(got)} acknowledged writes are there, and the counter is {count}")


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]]()
