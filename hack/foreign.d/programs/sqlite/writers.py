"""Transactions on one SQLite database by several processes, and what each has seen committed."""
import hashlib
import random
import signal
import sqlite3
import sys

DATABASE = "/foreign/home/bank.db"
ACCOUNTS = 50


def connect():
    database = sqlite3.connect(DATABASE, timeout=60, isolation_level=None)
    database.execute("pragma journal_mode = wal")
    return database


def prepare():
    database = connect()
    database.execute("create table account (id integer primary key, balance integer)")
    database.execute("create table entry (writer, number, payload, hash, unique (writer, number))")
    database.executemany("insert into account values (?, 0)", [(n,) for n in range(ACCOUNTS)])


def payload_of(writer, number):
    return hashlib.sha256(f"{writer} {number}".encode()).hexdigest() * random.randint(1, 100)


def write(writer):
    ends = []
    signal.signal(signal.SIGTERM, lambda *_: ends.append(True))
    database = connect()
    with open(f"/foreign/home/ledger.{writer}", "a", buffering=1) as ledger:
        number = 0
        while not ends:
            number += 1
            payload = payload_of(writer, number)
            amount = random.randint(1, 1000)
            giver, taker = random.sample(range(ACCOUNTS), 2)
            database.execute("begin immediate")
            database.execute("update account set balance = balance - ? where id = ?", (amount, giver))
            database.execute("insert into entry values (?, ?, ?, ?)",
                             (writer, number, payload, hashlib.sha256(payload.encode()).hexdigest()))
            database.execute("update account set balance = balance + ? where id = ?", (amount, taker))
            database.execute("commit")
            ledger.write(f"{number}\n")
            total, = database.execute("select sum(balance) from account").fetchone()
            if total != 0:
                sys.exit(f"writer {writer} sees a sum of {total} after {number}")


def check():
    database = connect()
    total, = database.execute("select sum(balance) from account").fetchone()
    if total != 0:
        sys.exit(f"the sum of all balances is {total}")
    count = 0
    for writer in "123":
        with open(f"/foreign/home/ledger.{writer}") as file:
            committed = int(file.read().split()[-1])
        numbers = []
        for number, payload, digest in database.execute(
                "select number, payload, hash from entry where writer = ? order by number", writer):
            numbers.append(number)
            if hashlib.sha256(payload.encode()).hexdigest() != digest:
                sys.exit(f"entry {number} of writer {writer} has other bytes")
        if numbers != list(range(1, len(numbers) + 1)) or not 0 <= len(numbers) - committed <= 1:
            sys.exit(f"writer {writer}: {committed} committed, {len(numbers)} there")
        count += len(numbers)
    print(f"{count} committed entries are there, and the sum of all balances is 0")


if __name__ == "__main__":
    {"prepare": prepare, "write": lambda: write(sys.argv[2]), "check": check}[sys.argv[1]]()
