"""Clients of the service, each with a ledger of what was answered; and what must be true of it all."""
import http.client
import json
import sys
import threading
import time

from service import link

CLIENTS = 4


def ask(connection, method, path):
    connection.request(method, path)
    return json.loads(connection.getresponse().read())


def connect():
    return http.client.HTTPConnection("127.0.0.1", 8000, timeout=10)


def run(client):
    number = client
    with open(f"/foreign/home/ledger.{client}", "a", buffering=1) as ledger:
        while True:
            try:
                connection = connect()
                while True:
                    # In every begun life of the load others than before.
                    number += CLIENTS
                    answer = ask(connection, "POST", f"/{time.time_ns() // 1000 * 10 + client}")
                    ledger.write(f"{answer['length']} {answer['last']}\n")
                    time.sleep(0.002)
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.05)


def check():
    state = ask(connect(), "GET", "/")
    with open("/foreign/home/journal") as file:
        journal = [line.split() for line in file]
    last = ""
    for position, (number, found) in enumerate(journal, 1):
        last = link(last, int(number))
        if last != found:
            sys.exit(f"the chain breaks at {position} of {len(journal)}")
    if (state["length"], state["last"]) != (len(journal), last):
        sys.exit(f"the service has {state['length']} in memory, and {len(journal)} in its journal")
    answers = 0
    for client in range(CLIENTS):
        lengths = []
        with open(f"/foreign/home/ledger.{client}") as file:
            for line in file:
                length, found = line.split()
                lengths.append(int(length))
                if journal[int(length) - 1][1] != found:
                    sys.exit(f"answer {length} to client {client} is not in the chain")
        if lengths != sorted(set(lengths)):
            sys.exit(f"client {client} was given a length twice, or a smaller one")
        answers += len(lengths)
    print(f"{answers} answers, {len(journal)} links, and the chain is whole")


if __name__ == "__main__":
    if sys.argv[1] == "check":
        check()
    else:
        for each in range(CLIENTS):
            threading.Thread(target=run, args=(each,)).start()
