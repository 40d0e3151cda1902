#!/usr/bin/env python3
"""runc_container_test.py DUMP_CONTAINER TICKER: real runc containers, dumped with cryopod's options.

In a lab node of each cgroup version: a container with the mounts of a CRI container is made by runc,
dumped by DUMP_CONTAINER, killed, and restored by runc out of the images; it goes on where it was. Once
with pipes and once with a terminal. Then what must be refused is refused by name.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
LAB = REPOSITORY / "hack" / "lab"
LAB_DIR = pathlib.Path(os.environ.get("CRYOPOD_LAB_DIR", "/var/lib/cryopod-lab"))
SKIPPED = 77
STEP_TIMEOUT_S = 60
WORK = "/var/lib/criu-test"
# Takes the terminal of a container, and drops what is written to it.
CONSOLE_KEEPER = """
use Socket; socket(L, AF_UNIX, SOCK_STREAM, 0); bind(L, sockaddr_un($ARGV[0])); listen(L, 1);
accept(C, L); sleep 300;
"""


def mounts():
    nosuid = ["nosuid", "noexec", "nodev"]
    bind = ["rbind", "rprivate", "rw"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": nosuid},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": nosuid},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": nosuid + ["ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": nosuid + ["relatime", "ro"]},
        {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "nodev", "size=1024k"]},
        {"destination": "/etc/hosts", "type": "bind", "source": f"{WORK}/hosts", "options": bind},
        {"destination": "/dev/shm", "type": "bind", "source": f"{WORK}/shm", "options": bind},
        {"destination": "/var/run/secrets/token", "type": "bind", "source": f"{WORK}/token",
         "options": bind},
    ]


def runtime_config(cgroup, terminal, pause_pid, args):
    namespaces = [{"type": kind} for kind in ("pid", "mount")]
    namespaces += [{"type": kind, "path": f"/proc/{pause_pid}/ns/{name}"}
                   for kind, name in (("ipc", "ipc"), ("uts", "uts"), ("network", "net"))]
    if cgroup == "v2":
        namespaces.append({"type": "cgroup"})
    capabilities = ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"]
    return {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {"terminal": terminal, "user": {"uid": 0, "gid": 0}, "args": args,
                    "env": ["PATH=/bin"], "cwd": "/",
                    "capabilities": {kind: capabilities
                                     for kind in ("bounding", "effective", "permitted")}},
        "mounts": mounts(),
        "linux": {
            "namespaces": namespaces, "cgroupsPath": "/cryopod-criu-test/c", "resources": {},
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list",
                            "/proc/scsi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                              "/proc/sysrq-trigger"],
        },
    }


class Node:
    """Node a of a lab of its own, of one cgroup version."""

    def __init__(self, cgroup, programs):
        self.cgroup = cgroup
        # The same for every run, so that a run clears away what a killed one left.
        self.environment = {**os.environ, "CRYOPOD_LAB_NAME": f"criu-test-{cgroup}"}
        self.down()
        self.lab("up", "--cgroup", cgroup, "--nodes", "1", timeout_s=120)
        self.shell(f"mkdir -p {WORK}/shm {WORK}/token {WORK}/rootfs/bin {WORK}/rootfs/var "
                   f"{WORK}/rootfs/run; echo 127.0.0.1 localhost >{WORK}/hosts; "
                   f"ln -sfn /run {WORK}/rootfs/var/run; mount -t tmpfs shm {WORK}/shm; "
                   f"mount -t tmpfs token {WORK}/token; echo secret >{WORK}/token/token")
        for name, path in programs.items():
            self.lab("copy", path, f"a:{WORK}/{name}")
        self.shell(f"cp {WORK}/ticker {WORK}/busybox {WORK}/rootfs/bin/; chmod 755 {WORK}/* "
                   f"{WORK}/rootfs/bin/*")
        # CRIU restores images that were dumped with tcp-close only when it is told so again, and runc
        # has no option for it.
        self.shell("mkdir -p /etc/criu; echo tcp-close >/etc/criu/runc.conf")
        # What a pod's pause container is: the owner of the shared namespaces.
        self.pause_pid = self.shell("unshare --ipc --uts --net sleep 600 "
                                    "</dev/null >/dev/null 2>&1 & echo $!").strip()

    def lab(self, *arguments, timeout_s=STEP_TIMEOUT_S, **options):
        return subprocess.run([LAB, *arguments], env=self.environment, timeout=timeout_s, check=True,
                              stdout=subprocess.PIPE, text=True, **options).stdout

    def shell(self, script, check=True):
        result = subprocess.run([LAB, "exec", "a", "bash", "-c", script], env=self.environment,
                                timeout=STEP_TIMEOUT_S, stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if check and result.returncode != 0:
            raise AssertionError(f"{script}: exit code {result.returncode}: {result.stdout}")
        self.exit_code = result.returncode
        return result.stdout

    def down(self):
        self.lab("down", timeout_s=120)


class Container:
    """Container "c" of runc in the node; its stdio are pipes or a terminal, as a shim gives them."""

    def __init__(self, node, terminal, args=("/bin/ticker", "/scratch/count", "4")):
        self.node, self.terminal = node, terminal
        config = runtime_config(node.cgroup, terminal, node.pause_pid, list(args))
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(config, file)
            file.flush()
            node.lab("copy", file.name, f"a:{WORK}/config.json")
        self.run("run")

    def run(self, how, options=""):
        command = f"runc {how} --detach --bundle {WORK} {options}"
        if self.terminal:
            self.node.shell(
                f"rm -f {WORK}/console; perl -e '{CONSOLE_KEEPER}' {WORK}/console "
                f"</dev/null >/dev/null 2>&1 & until [ -S {WORK}/console ]; do sleep 0.02; done; "
                f"{command} --console-socket {WORK}/console c")
        else:
            self.node.shell(f"{command} c < <(exec sleep 600 2>/dev/null) "
                            f"> >(exec cat >>{WORK}/out 2>/dev/null) 2>&1")

    def dump(self):
        return self.node.shell(f"rm -rf {WORK}/images {WORK}/criu-work; mkdir -m 700 {WORK}/images "
                               f"{WORK}/criu-work; CRYOPOD_LOG_LEVEL=debug {WORK}/dump_container /run/runc c {WORK}/images "
                               f"{WORK}/criu-work", check=False)

    def exec(self, command):
        return self.node.shell(f"runc exec c /bin/busybox {command}")

    def count(self):
        return int(self.exec("cat /scratch/count").strip() or 0)

    def wait_until_it_counts(self, beyond=0):
        self.node.shell("until [ \"$(runc exec c /bin/busybox cat /scratch/count 2>/dev/null)\" -gt "
                        f"{beyond} ] 2>/dev/null; do sleep 0.02; done")

    def delete(self):
        self.node.shell("runc delete --force c")


class RuncContainerTest(unittest.TestCase):
    cgroup = None
    programs = {}

    @classmethod
    def setUpClass(cls):
        cls.node = Node(cls.cgroup, cls.programs)
        cls.addClassCleanup(cls.node.down)

    def start(self, **options):
        container = Container(self.node, **options)
        self.addCleanup(container.delete)
        container.wait_until_it_counts(beyond=100)
        return container

    def check_round_trip(self, container):
        before = container.count()
        said = container.dump()
        self.assertEqual(self.node.exit_code, 0, said + self.node.shell(
            f"grep -h Error {WORK}/criu-work/dump.log | tail", check=False))
        self.assertIn("dumped 2 processes", said)
        container.wait_until_it_counts(beyond=container.count())
        container.delete()

        container.run("restore", f"--image-path {WORK}/images --work-path {WORK}/criu-work "
                                 "--manage-cgroups-mode ignore")

        restored = container.count()
        self.assertGreaterEqual(restored, before, "it was started anew")
        container.wait_until_it_counts(beyond=restored)

    def test_a_container_with_pipes_is_dumped_and_restored_by_runc(self):
        self.check_round_trip(self.start(terminal=False))

    def test_a_container_with_a_terminal_is_dumped_and_restored_by_runc(self):
        self.check_round_trip(self.start(terminal=True))

    def test_checking_criu_keeps_what_it_learns_of_the_kernel_for_the_dump(self):
        container = self.start(terminal=False)
        self.node.shell("rm -f /run/criu.kdat")

        said = container.dump()

        self.assertEqual(self.node.exit_code, 0, said)
        log = self.node.shell(f"cat {WORK}/criu-work/dump.log")
        self.assertIn("Loaded kdat cache from /run/criu.kdat", log)

    def test_a_mount_made_inside_is_refused_by_name_and_the_container_goes_on(self):
        container = self.start(terminal=False)
        container.exec("mkdir /cache")
        container.exec("mount -t tmpfs none /cache")

        said = container.dump()

        self.assertEqual(self.node.exit_code, 3, said)
        self.assertIn("/cache (tmpfs)", said)
        container.wait_until_it_counts(beyond=container.count())


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for cgroup in ("v1", "v2"):
        case = type(f"RuncContainerOnCgroup{cgroup.upper()}Test", (RuncContainerTest,),
                    {"cgroup": cgroup})
        suite.addTests(loader.loadTestsFromTestCase(case))
    return suite


def main():
    if os.geteuid() != 0:
        print("skipped: needs root")
        return SKIPPED
    if not (LAB_DIR / "root" / "usr/sbin/criu").exists():
        print("skipped: no lab; run hack/lab root")
        return SKIPPED
    RuncContainerTest.programs = {"dump_container": sys.argv[1], "ticker": sys.argv[2],
                                  "busybox": LAB_DIR / "root/usr/bin/busybox"}
    outcome = unittest.main(argv=sys.argv[:1] + sys.argv[3:], exit=False, verbosity=2).result
    return 0 if outcome.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
