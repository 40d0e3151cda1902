"""The gateway on a node: what it says when something is missing, and what hostile clients change."""
import json
import re
import subprocess
import unittest

import lab
from two_nodes import PodTest, a, b, setUpModule, tearDownModule  # noqa: F401

ADDRESS = "10.77.0.11"  # of node a
URL = f"http://{ADDRESS}:9464"
IDLE, BUSY = 1000, 100
RSS_KIB_MAX = 32 << 10
THREADS_MAX = 24
DESCRIPTORS_MAX = 3 * 256 + 64  # a client's, and both ends of its connection to the HTTP service

# What hostile clients do, from node b: prints a line once all of them are at it, and goes on until its
# standard input ends. Standard library only; one loop over sockets that do not block.
LOAD = r"""
import select, socket, sys, time
address = (sys.argv[1], 9464)
idle_count, busy_count = int(sys.argv[2]), int(sys.argv[3])
def connect():
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(address)
    return s
def shut(s):
    try: s.close()
    except OSError: pass
kinds = [b"", b"GET /metrics HTTP/1.1\r\nX: ", b"\x16\x03\x01\xff" * 8, b"GET /" + b"a" * 9000,
         b"POST /metrics HTTP/1.1\r\nHost: n\r\nContent-Length: 100000\r\n\r\n" + b"b" * 4000]
idle = [connect() for _ in range(idle_count)]
time.sleep(0.5)
for i, s in enumerate(idle):
    try: s.send(kinds[i % len(kinds)])
    except OSError: pass
busy = {}
def begin():
    s = connect()
    busy[s.fileno()] = s
    poll.register(s, select.POLLOUT)
request = b"GET /metrics HTTP/1.1\r\nHost: n\r\n\r\n"
poll = select.poll()
poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
for _ in range(busy_count): begin()
answered = failed = 0
told = set()
said = False
slow = time.monotonic()
while True:
    ended = False
    for fd, events in poll.poll(200):
        if fd == sys.stdin.fileno():
            ended = True
            continue
        s = busy[fd]
        try:
            if events & select.POLLOUT:
                s.send(request)
                poll.modify(s, select.POLLIN)
                continue
            if s.recv(65536):
                told.add(fd)
                continue
        except OSError:
            pass
        if fd in told: answered += 1
        else: failed += 1
        told.discard(fd)
        poll.unregister(s)
        del busy[fd]
        shut(s)
        begin()
    # The slow ones go on slowly; who was closed comes again.
    if time.monotonic() - slow > 1:
        slow = time.monotonic()
        for i, s in enumerate(idle):
            try:
                s.send(b"x" if i % len(kinds) == 1 else b"")
                if not s.recv(4096): raise OSError
            except BlockingIOError:
                pass
            except OSError:
                shut(s)
                idle[i] = connect()
    if not said and answered >= busy_count:
        said = True
        print("busy", flush=True)
    if ended:
        print(answered, failed, flush=True)
        break
"""


# 10 s are what the gateway gives each step of a connection: agent/gateway/exchange.h.
GET = r"""
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=10)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode(), sep="\n", end="")
"""


def get(path):
    """(code, body) as a client on node a sees it; code 0 when nobody answers."""
    answer = a.exec("python3", "-c", GET, URL + path, check=False)
    code, _, body = answer.stdout.partition("\n")
    return int(code or 0), body


def sample(text, name):
    match = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(match[1]) if match else None


class GatewayTest(PodTest):
    def setUp(self):
        a.agent("restart")
        a.lab.run("gateway", "a", "restart")
        self.wait_ready()

    def wait_ready(self):
        lab.wait_until(lambda: get("/readyz")[0] == 200, lambda: f"ready: {get('/readyz')}", 30)

    def wait_not_ready(self, *lines):
        def says_so():
            code, body = get("/readyz")
            return code == 503 and all(line in body for line in lines)
        lab.wait_until(says_so, lambda: f"not ready with {lines}: {get('/readyz')}", 30)

    def status(self):
        """VmRSS in KiB, threads, descriptors, and all of /proc/PID/status of the gateway."""
        text = a.shell(
            "p=$(/usr/libexec/lab/gateway pid); cat /proc/$p/status; echo FDs: $(ls /proc/$p/fd | wc -l)")
        fields = dict(re.findall(r"^(\w+):\s+(.*)$", text, re.MULTILINE))
        return int(fields["VmRSS"].split()[0]), int(fields["Threads"]), int(fields["FDs"]), fields

    def test_each_cause_is_named_and_goes_away(self):
        a.agent("stop")
        self.wait_not_ready("agent not ok: ")
        self.assertEqual(get("/healthz"), (200, "ok\n"))
        metrics = get("/metrics")[1]
        self.assertEqual(sample(metrics, "cryopod_gateway_agent_up"), 0)
        self.assertGreater(sample(metrics, "cryopod_gateway_agent_last_contact_timestamp_seconds"), 0)
        a.agent("start")
        self.wait_ready()

        a.shell("pkill -STOP -x containerd")
        try:
            self.wait_not_ready("runtime not ok: ", "agent ok\n")
        finally:
            a.shell("pkill -CONT -x containerd")
        self.wait_ready()

        a.shell("chmod 0 /usr/sbin/criu")
        try:
            self.wait_not_ready("criu not ok: ", "runtime ok\n")
        finally:
            a.shell("chmod 755 /usr/sbin/criu")
        self.wait_ready()
        verbose = json.loads(get("/readyz?verbose")[1])
        self.assertTrue(verbose["ready"])
        self.assertGreaterEqual(verbose["age_seconds"], 0)

    def test_it_has_no_rights(self):
        _, _, _, fields = self.status()

        self.assertEqual(len(set(fields["Uid"].split())), 1)
        self.assertNotEqual(fields["Uid"].split()[0], "0")
        self.assert_confined(fields)
        self.assertNotEqual(a.shell("readlink /proc/1/ns/net"), a.shell(
            "readlink /proc/$(/usr/libexec/lab/gateway pid)/ns/net"), "it is in the node's network")

    def test_readers_do_no_more_than_read(self):
        reader = ("setpriv", "--reuid", "cryopod", "--regid", "cryopod", "--clear-groups", lab.CTL)

        denied = a.exec(*reader, "--socket", "/run/cryopod/reader.sock", "delete", "x", check=False)
        closed = a.exec(*reader, "list", check=False)

        self.assertNotEqual(denied.returncode, 0)
        self.assertIn("role reader", denied.stderr)
        self.assertNotEqual(closed.returncode, 0)

    def test_hostile_clients_change_nothing_for_the_others(self):
        pod = self.run_pod("shop", lab.container("count", "counter"))
        calm_rss, _, _, _ = self.status()
        b.write("/root/load.py", LOAD)
        # The clients stand for other machines: they leave this one's processors to the node.
        load = b.lab.start(
            "exec", "b", "bash", "-c",
            f"ulimit -n 4096; exec nice -n 19 python3 /root/load.py {ADDRESS} {IDLE} {BUSY}",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(load.stdout.close)
        try:
            self.assertEqual(load.stdout.readline(), "busy\n")
            self.checkpoint(pod)
            answers = {path: get(path) for path in ("/healthz", "/readyz", "/metrics")}
            rss, threads, descriptors, fields = self.status()
        finally:
            load.stdin.close()
            counts = load.stdout.read().split()
            load.wait(timeout=30)
        print(f"\ngateway under {IDLE} idle and {BUSY} busy clients: {counts[0]} answers, RSS {rss} KiB "
              f"(calm {calm_rss}), peak {fields['VmHWM']}, {threads} threads, {descriptors} descriptors",
              flush=True)
        self.assertEqual({path: code for path, (code, _) in answers.items()}, dict.fromkeys(answers, 200))
        self.assertEqual(sample(answers["/metrics"][1], "cryopod_gateway_agent_up"), 1)
        self.assertGreater(int(counts[0]), BUSY)
        self.assertLessEqual(rss, RSS_KIB_MAX)
        self.assertLessEqual(threads, THREADS_MAX)
        self.assertLessEqual(descriptors, DESCRIPTORS_MAX)
        pod.wait_until_it_counts()


if __name__ == "__main__":
    unittest.main(verbosity=2)
