"""A Prometheus that scrapes lab nodes. Standard library only.

    with prometheus.Prometheus([a, b]) as server:
        server.wait_for('cryopod_pods_frozen{node="a"}', lambda value: value == 0)

It runs on this machine in the network namespace of the first node, on loopback, with its data in a
folder that goes with it; questions go through promtool in the same namespace.
"""
import json
import os
import pathlib
import resource
import signal
import subprocess
import tempfile

import lab

PORT = 9464
SCRAPE_INTERVAL_S = 1
LISTEN = "127.0.0.1:9090"
MEMORY_BYTES_MAX = 2 << 30  # of address space that it may fill with data
QUERY_TIMEOUT_S = 10
CONFIGURATION = """
global: {{scrape_interval: {interval_s}s, scrape_timeout: {interval_s}s}}
scrape_configs:
  - job_name: cryopod
    static_configs:
{targets}
"""


def tools():
    """The folder that holds prometheus and promtool."""
    answer = subprocess.run([lab.REPOSITORY / "hack" / "lab", "tools"], check=True, text=True,
                            stdout=subprocess.PIPE, timeout=300)
    return pathlib.Path(answer.stdout.strip())


def network_of(node):
    """A path to the node's network namespace on this machine."""
    name = node.exec("readlink", "/proc/self/ns/net").stdout.strip()
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "ns/net") == name:
                return str(process / "ns/net")
        except OSError:
            continue
    raise AssertionError(f"no process is in the network of node {node.name}")


def address_of(node):
    for line in node.shell("ip -4 -o addr show scope global").splitlines():
        address = line.split()[3].split("/")[0]
        if address.startswith("10.77."):
            return address
    raise AssertionError(f"node {node.name} has no address in the lab's network")


def scrape(node):
    """The text that a Prometheus would get."""
    script = f"import urllib.request as r; print(r.urlopen('http://{address_of(node)}:{PORT}/metrics'," \
             f" timeout={QUERY_TIMEOUT_S}).read().decode(), end='')"
    return node.exec("python3", "-c", script).stdout


def check_metrics(text):
    """What promtool finds wrong with a text of metrics; empty when nothing."""
    answer = subprocess.run([tools() / "promtool", "check", "metrics"], input=text, text=True,
                            capture_output=True, timeout=60)
    return (answer.stdout + answer.stderr).strip() or \
        (f"exit code {answer.returncode}" if answer.returncode else "")


class Prometheus:
    def __init__(self, nodes):
        self._nodes = nodes
        self._tools = tools()
        self._network = network_of(nodes[0])

    def __enter__(self):
        self._data = tempfile.TemporaryDirectory(prefix="cryopod-prometheus.")
        configuration = pathlib.Path(self._data.name) / "prometheus.yml"
        targets = "\n".join(
            f"      - {{targets: ['{address_of(node)}:{PORT}'], labels: {{node: {node.name}}}}}"
            for node in self._nodes)
        configuration.write_text(CONFIGURATION.format(interval_s=SCRAPE_INTERVAL_S, targets=targets))
        self._log = open(configuration.with_name("log"), "w+")
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net={self._network}",
             self._tools / "prometheus", f"--config.file={configuration}",
             f"--storage.tsdb.path={self._data.name}/data", f"--web.listen-address={LISTEN}",
             "--storage.tsdb.retention.time=2h", "--query.timeout=10s", "--log.level=warn"],
            env={"PATH": os.environ["PATH"], "GOMAXPROCS": "1", "GOMEMLIMIT": "200MiB"},
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES_MAX,) * 2))
        try:
            for node in self._nodes:
                self.wait_for(f'up{{node="{node.name}"}}', lambda value: value == 1, timeout_s=30)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._data.cleanup()

    def query(self, expression):
        """The samples of an instant query: [(labels, value)]."""
        return [(sample["metric"], float(sample["value"][1]))
                for sample in self._ask("instant", f"http://{LISTEN}", expression)]

    def query_range(self, expression, start_s, end_s, step_s):
        """The series of a range query: [(labels, [(time, value)])]."""
        answer = self._ask("range", f"--start={start_s:.3f}", f"--end={end_s:.3f}",
                           f"--step={step_s}s", f"http://{LISTEN}", expression)
        return [(series["metric"], [(float(at), float(value)) for at, value in series["values"]])
                for series in answer]

    def value(self, expression):
        """The one value of an expression; 0 where there is no sample: nothing was counted."""
        samples = self.query(expression)
        assert len(samples) <= 1, f"{expression} has {len(samples)} values"
        return samples[0][1] if samples else 0

    def wait_for(self, expression, holds, timeout_s=15):
        """Waits until the expression's value pleases; returns it."""
        seen = []

        def pleases():
            try:
                seen[:] = [self.value(expression)]
            except subprocess.CalledProcessError as error:  # it is not up yet
                seen[:] = [error.stderr]
                return False
            return holds(seen[0])

        lab.wait_until(pleases, lambda: f"{expression} pleases, it is {seen[0]}", timeout_s, 0.2)
        return seen[0]

    def _ask(self, *arguments):
        answer = subprocess.run(
            ["nsenter", f"--net={self._network}", self._tools / "promtool", "query", "--format=json",
             *arguments], check=True, text=True, capture_output=True, timeout=QUERY_TIMEOUT_S + 5)
        return json.loads(answer.stdout or "[]")
