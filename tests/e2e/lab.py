"""Lab nodes, pods and deadlines for the end-to-end tests. Standard library only.

    with lab.Lab(cgroup="v2") as nodes:
        a = nodes["a"]
        pod = a.run_pod(lab.pod("web"), [lab.container("count", "counter")])
        assert pod.verify("count") == "ok"

Everything that waits has a deadline, and a test that gives up names what it waited for.
"""
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

import enter_node

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CRI_TOOL = "/opt/cryopod/libexec/cryopod/cri-tool"
CTL = "/opt/cryopod/bin/cryopodctl"
AGENT_LOG = "/var/log/cryopod-agent.log"
WORKLOADS_IMAGE = "lab.local/workloads:1"
OTHER_WORKLOADS_IMAGE = "lab.local/workloads:2"  # the same programs in an image of another digest
BUSYBOX_IMAGE = "lab.local/busybox:1"
VOLUME_IMAGE = "lab.local/volume:1"  # the workloads' with a VOLUME /data
COMMAND_TIMEOUT_S = 60
SHORT = bool(os.environ.get("CRYOPOD_SHORT_TESTS"))

# What a kubelet asks for with every container (kubernetes, pkg/securitycontext/util.go).
MASKED_PATHS = ["/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys",
                "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"]
READ_ONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

# Values of CRI's enumerations (runtime/v1/api.proto).
NAMESPACE_POD, NAMESPACE_CONTAINER = 0, 1
PROFILE_LOCALHOST = 2
PROFILE_RUNTIME_DEFAULT = 0


class CommandFailed(AssertionError):
    """A command in a node that should have succeeded did not, or took too long."""


def wait_until(condition, what, timeout_s=10, interval_s=0.05):
    """Returns the first true value of condition(); fails with `what` after timeout_s.

    `what` is the sentence that should have come true, or a function that gives it at the end.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s} s: {what() if callable(what) else what}")
        time.sleep(interval_s)


def times(short, long):
    """How often a test repeats itself: as hack/soak says, else by the form of the suite."""
    return int(os.environ.get("CRYOPOD_SOAK_TIMES") or (short if SHORT else long))


def pod(name, namespace="default", uid=None, attempt=0, shared_pid=False, annotations=None,
        labels=None):
    """A PodSandboxConfig. Its uid is made from its name unless one is given."""
    kubernetes = {"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace,
                  "io.kubernetes.pod.uid": uid or f"uid-{name}"}
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": uid or f"uid-{name}",
                     "attempt": attempt},
        "hostname": name,
        "log_directory": f"/var/log/pods/{namespace}_{name}_{uid or 'uid-' + name}",
        "labels": {**kubernetes, **(labels or {})},
        "annotations": annotations or {},
        "linux": {"security_context": {"namespace_options": _namespaces(shared_pid)}},
    }


def container(name, command, image=WORKLOADS_IMAGE, env=None, user=None, restricted=False,
              read_only_root=False, tty=False, mounts=None, attempt=0, annotations=None,
              default_proc_mount=False, capabilities=()):
    """A ContainerConfig that runs `command` (a line for a shell's eye, or a list).

    restricted   as the restricted pod security standard asks: RuntimeDefault seccomp, no
                 capabilities, no new privileges
    default_proc_mount  masks and read-only paths as a kubelet asks for them
    capabilities  added to the runtime's default ones
    mounts       (host path in the node, path in the container[, read-only]) tuples

    The PID namespace follows the pod's when the container is created by run_pod().
    """
    security = {"namespace_options": _namespaces(False)}
    if user is not None:
        security["run_as_user"] = {"value": user}
        security["run_as_group"] = {"value": user}
    if restricted:
        security["capabilities"] = {"drop_capabilities": ["ALL"]}
        security["no_new_privs"] = True
        security["seccomp"] = {"profile_type": PROFILE_RUNTIME_DEFAULT}
    if capabilities:
        security["capabilities"] = {"add_capabilities": list(capabilities)}
    if read_only_root:
        security["readonly_rootfs"] = True
    if default_proc_mount:
        security["masked_paths"] = MASKED_PATHS
        security["readonly_paths"] = READ_ONLY_PATHS
    return {
        "metadata": {"name": name, "attempt": attempt},
        "image": {"image": image, "user_specified_image": image},
        "command": shlex.split(command) if isinstance(command, str) else list(command),
        "envs": [{"key": key, "value": value} for key, value in (env or {}).items()],
        "mounts": [{"host_path": mount[0], "container_path": mount[1],
                    "readonly": len(mount) > 2 and bool(mount[2])} for mount in mounts or []],
        "labels": {"io.kubernetes.container.name": name},
        "annotations": {"io.kubernetes.container.restartCount": str(attempt),
                        **(annotations or {})},
        "log_path": f"{name}/{attempt}.log",
        "tty": tty,
        "stdin": tty,
        "linux": {"security_context": security},
    }


def _namespaces(shared_pid):
    return {"network": NAMESPACE_POD, "ipc": NAMESPACE_POD,
            "pid": NAMESPACE_POD if shared_pid else NAMESPACE_CONTAINER}


class Lab:
    """One lab, by its name. As a context it comes up, and goes down whatever happens."""

    def __init__(self, cgroup="v2", nodes=2, name=None, prefix=None):
        # The same for every run of a test, so that a run clears away what a killed one left.
        test = pathlib.Path(sys.argv[0]).stem.replace("_", "-").lower()
        self.name = name or f"{test}-{cgroup}"
        self.cgroup = cgroup
        self._node_count = nodes
        self._prefix = prefix or os.environ.get("CRYOPOD_PREFIX")

    def __enter__(self):
        self.down()
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_):
        self.down()

    def __getitem__(self, node):
        return Node(self, node)

    def up(self):
        arguments = ["up", "--cgroup", self.cgroup, "--nodes", str(self._node_count)]
        if self._prefix:
            arguments += ["--prefix", str(self._prefix)]
        # The first one of a machine builds the root.
        self.run(*arguments, timeout_s=900)

    def down(self):
        self.run("down", timeout_s=120)

    def run(self, *arguments, timeout_s=COMMAND_TIMEOUT_S, check=True, stdin=None):
        """hack/lab with these arguments; its output as text. Killed when the time is over. `stdin` is
        text, or a file."""
        command = self._command(*arguments)
        source = {"input": stdin} if isinstance(stdin, str) else {"stdin": stdin or subprocess.DEVNULL}
        try:
            result = subprocess.run(command, env=self._environment(), timeout=timeout_s, text=True,
                                    capture_output=True, errors="replace", **source)
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(f"{shlex.join(command)}: not done after {timeout_s} s") from error
        if check and result.returncode != 0:
            raise CommandFailed(f"{shlex.join(command)}: exit code {result.returncode}\n"
                                f"{result.stdout}{result.stderr}")
        return result

    def start(self, *arguments, **options):
        """hack/lab with these arguments, as a process that goes on."""
        return subprocess.Popen(self._command(*arguments), env=self._environment(), text=True,
                                **{"stdin": subprocess.DEVNULL, **options})

    def _command(self, *arguments):
        if arguments[0] == "exec":
            direct = enter_node.command(self.name, arguments[1], arguments[2:])
            if direct:
                return direct
        return [str(REPOSITORY / "hack" / "lab"), *map(str, arguments)]

    def _environment(self):
        return {**os.environ, "CRYOPOD_LAB_NAME": self.name}


class Node:
    """One node of a lab."""

    def __init__(self, lab, name):
        self.lab = lab
        self.name = name

    def exec(self, *command, **options):
        """Runs a command in the node; see Lab.run for timeout_s, check and stdin."""
        return self.lab.run("exec", self.name, *command, **options)

    def shell(self, script, **options):
        return self.exec("sh", "-c", script, **options).stdout

    def cri(self, *arguments, **options):
        """cri-tool with these arguments; its standard output."""
        return self.exec(CRI_TOOL, *arguments, **options).stdout

    def ctl(self, *arguments, **options):
        """cryopodctl with these arguments: the whole result, with exit code and both outputs."""
        return self.exec(CTL, *arguments, **options)

    def ctl_json(self, *arguments, **options):
        """What cryopodctl with these arguments answers."""
        return json.loads(self.ctl("--output", "json", *arguments, **options).stdout)

    def archives(self):
        """What is damaged about each archive of the store, by name."""
        return {archive["name"]: archive["damage"] for archive in self.ctl_json("list")["archives"]}

    def agent(self, action):
        self.lab.run("agent", self.name, action)

    def containerd(self, action):
        self.lab.run("containerd", self.name, action)

    def reboot(self):
        self.lab.run("reboot", self.name, timeout_s=120)

    def read(self, path):
        return self.exec("cat", path).stdout

    def write(self, path, text):
        self.exec("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat >"$1"', "_", path, stdin=text)

    def write_pod(self, pod_config, container_configs):
        """Writes the configurations as cri-tool wants them; returns their paths."""
        directory = f"/root/pods/{pod_config['metadata']['name']}-{time.monotonic_ns()}"
        shared = pod_config["linux"]["security_context"]["namespace_options"]["pid"]
        pod_path = f"{directory}/pod.json"
        self.write(pod_path, json.dumps(pod_config))
        paths = []
        for config in container_configs:
            config = json.loads(json.dumps(config))
            config["linux"]["security_context"]["namespace_options"]["pid"] = shared
            paths.append(f"{directory}/{config['metadata']['name']}.json")
            self.write(paths[-1], json.dumps(config))
        self.exec("mkdir", "-p", pod_config["log_directory"])
        return pod_path, paths

    def run_pod(self, pod_config, container_configs, handler=None, timeout_s=120):
        """Runs a pod through CRI and returns it when all of its containers are started."""
        pod_path, paths = self.write_pod(pod_config, container_configs)
        arguments = ["run", pod_path, *paths] + (["--handler", handler] if handler else [])
        answer = json.loads(self.cri(*arguments, timeout_s=timeout_s))
        return Pod(self, answer["sandbox"], answer["containers"], pod_config)

    def pods(self):
        """All sandboxes with their containers, as `cri-tool ps` describes them."""
        return json.loads(self.cri("ps"))["sandboxes"]

    def find_pod(self, name, namespace="default"):
        """The ready pod of this name, or None."""
        for sandbox in self.pods():
            if (sandbox["name"], sandbox["namespace"]) != (name, namespace):
                continue
            if sandbox["state"] == "ready":
                containers = {c["name"]: c["id"] for c in sandbox["containers"]}
                return Pod(self, sandbox["id"], containers, pod(name, namespace, sandbox["uid"]))
        return None

    def sandboxes(self):
        """The IDs of all sandboxes, in an order of their own: the runtime's is another each time."""
        return sorted(sandbox["id"] for sandbox in self.pods())

    def frozen_cgroups(self):
        """Paths of the node's cgroups that are frozen; none may be once all is over."""
        return self.shell(
            "find /sys/fs/cgroup -name freezer.state -exec grep -lx 'FROZEN\\|FREEZING' {} + ;"
            "find /sys/fs/cgroup -name cgroup.events -exec grep -lx 'frozen 1' {} + ; true").split()


class Pod:
    """A pod that runs on a node: its sandbox and its containers by name."""

    def __init__(self, node, sandbox, containers, config):
        self.node = node
        self.sandbox = sandbox
        self.containers = dict(containers)
        self.config = config

    def is_held(self, name):
        """Restored, and not let run yet: its cgroup is frozen."""
        return any(self.containers[name] in path for path in self.node.frozen_cgroups())

    def exec(self, name, *command, **options):
        return self.node.exec(CRI_TOOL, "exec", self.containers[name], *command, **options)

    def ask(self, name, workload, request, check=True):
        """One request to a workload; its answer without the line's end."""
        return self.exec(name, workload, "ask", request, check=check).stdout.strip()

    def report(self, name, workload=None):
        """What the workload of a container reports; the workload is found by its command."""
        return json.loads(self.ask(name, workload or self.workload(name), "report"))

    def verify(self, name, workload=None):
        """"ok", or "bad: REASON", or "" when nobody answers."""
        return self.ask(name, workload or self.workload(name), "verify", check=False)

    def workload(self, name):
        """The program that the container was started with."""
        return os.path.basename(self.status(name)["config"]["command"][0])

    def wait_for(self, name, timeout_s=20):
        """Waits until the workload answers, and says that its state is right."""
        answers = []

        def is_ok():
            answers[:] = [self.verify(name)]
            return answers == ["ok"]

        wait_until(is_ok, lambda: f"the workload of container {name} is ok, it says: {answers[0]}",
                   timeout_s)

    def wait_until_it_counts(self, name="count", beyond=0):
        """Waits until a counter has counted on, by more than `beyond`."""
        before = self.report(name)["counter"]
        wait_until(lambda: self.report(name)["counter"] > before + beyond,
                   f"container {name} counts on")

    def wait_until_ended(self, name):
        wait_until(lambda: self.state(name) == "exited", f"container {name} has ended")

    def status(self, name):
        return json.loads(self.node.cri("status", self.containers[name]))

    def state(self, name):
        return self.status(name)["state"]

    def pid(self, name):
        return self.status(name)["pid"]

    def log(self, name, attempt=0):
        """The lines that the container has written, as the kubelet would show them."""
        path = f"{self.config['log_directory']}/{name}/{attempt}.log"
        lines = self.node.read(path).splitlines()
        return [line.split(" ", 3)[3] for line in lines if line.count(" ") >= 3]

    def remove(self):
        """Stops and removes the pod with all of its containers."""
        self.node.cri("stopp", self.sandbox)
        self.node.cri("rmp", self.sandbox)
