"""An HTTP service with threads and a child process: a chain of hashes that every request lengthens.

service.py child           the child is asked over pipes
service.py multiprocessing Python's own way, with its semaphores in shared memory


POST /NUMBER   adds NUMBER, and answers with the chain's length and its hash
GET /          length and hash
"""
import hashlib
import http.server
import json
import multiprocessing
import socketserver
import subprocess
import sys
import threading


def link(last, number):
    return hashlib.sha256(f"{last} {number}".encode()).hexdigest()


class Child:
    """link() computed by a child, asked over pipes."""

    def __init__(self):
        self._child = subprocess.Popen([sys.executable, "-B", __file__, "links"], text=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def apply(self, _, words):
        self._child.stdin.write(json.dumps(words) + "\n")
        self._child.stdin.flush()
        return self._child.stdout.readline().strip()


def answer_links():
    for line in sys.stdin:
        print(link(*json.loads(line)), flush=True)


class Chain:
    def __init__(self, workers):
        self._lock = threading.Lock()
        self._workers = workers
        self._journal = open("/foreign/home/journal", "a", buffering=1)
        self.length, self.last = 0, ""

    def add(self, number):
        with self._lock:
            # What it is asked goes through a pipe, and so does its answer.
            last = self._workers.apply(link, (self.last, number))
            self._journal.write(f"{number} {last}\n")
            self.last, self.length = last, self.length + 1
            return self.state()

    def state(self):
        return json.dumps({"length": self.length, "last": self.last}).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    chain = None

    def do_POST(self):
        self._answer(self.chain.add(int(self.path[1:])))

    def do_GET(self):
        self._answer(self.chain.state())

    def _answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


def serve(workers):
    Handler.chain = Chain(workers)
    Server(("127.0.0.1", 8000), Handler).serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "links":
        answer_links()
    elif sys.argv[1] == "multiprocessing":
        with multiprocessing.Pool(2) as pool:
            serve(pool)
    else:
        serve(Child())
