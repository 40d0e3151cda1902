"""The README's chapter "On your own node", by its own commands: a node that had containerd, runc and CRIU
and nothing of ours gets cryopod under an unusual prefix, checkpoints and restores a pod, and is as it was
once cryopod is uninstalled.

Three lines of the chapter are not run as they stand. CRYOPOD=/opt/cryopod becomes another folder, as its
comment invites to. hack/requirements and the build have been run by whoever runs this test: the build is
asked for its programs again only where CRYOPOD_README_BUILD=1. And DESTDIR lets `cmake --install` write
beside this machine's own files, from where the tree is carried to the node. systemd does not run on lab
nodes: the block for such nodes is run, and containerd restarted the way the lab has started it.
"""
import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import unittest

import lab
import readme

CGROUP = os.environ.get("CRYOPOD_E2E_CGROUP", "v2")
PREFIX = "/srv/odd place/cryo pod"
ASSIGNMENT = "CRYOPOD=/opt/cryopod "
BUILD_STEPS = ("hack/requirements", "cmake --preset", "cmake --build")
# Of the node, what an installation could touch. The lab mounts /run anew, containerd works in /run and
# /var/lib/containerd, shadow keeps a copy of each of its files as it was before, "NAME-", and CRIU, whoever
# runs it, what it knows of the kernel in /run/criu.kdat.
LIST_FILES = r"""
find /etc /usr /opt /srv /var/lib /var/log /run \
  \( -path /var/lib/containerd -o -path '/run/containerd/*' -o -path '/etc/*-' \) -prune -o \
  -type d -printf '%p %y %m %U:%G\n' -o -printf '%p %y %m %U:%G %s %l\n' |
  grep -Ev '^(/var/log/(containerd|pods)|/run/(netns|runc|criu\.kdat)|/var/lib/cni|/etc/\.pwd\.lock)' |
  sort
"""
READ_ACCOUNTS = "cat /etc/passwd /etc/group /etc/shadow /etc/gshadow"
READ_CONFIG = "cat /etc/containerd/config.toml"
# Names only: numbers change, and a shell of the lab's own may be there or not.
LIST_PROCESSES = "ps -eo args= | grep -v '^ps \\|^grep \\|^sh -c \\|^sort' | sort"
COUNT = re.compile(r" F count (\d+)$", re.MULTILINE)

node = lab.Lab(cgroup=CGROUP, nodes=1, prefix="none", name=os.environ.get("CRYOPOD_LAB_NAME"))


def setUpModule():
    unittest.addModuleCleanup(node.down)
    node.down()
    node.up()


class ReadmeInstallTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.commands = readme.commands()
        cls.node = node["a"]

    def test_the_chapter_leads_to_a_restored_pod_and_back(self):
        before = self.describe_node()
        self.install_tree()

        said = self.run_block("install")
        self.assertIn("restart containerd", said)
        self.assertIn("/etc/cryopod/runtime.conf", said)
        self.node.containerd("restart")
        self.run_block("start without systemd")
        self.wait_for_agent()
        self.run_block("check")
        again = self.run_block("install")
        self.assertIn("nothing had to be changed", again)

        last = int(COUNT.findall(self.run_block("run"))[-1])
        self.assertGreaterEqual(last, 3)
        listed = self.run_block("checkpoint")
        self.assertIn("counter-1", listed)
        counts = [int(count) for count in COUNT.findall(self.run_block("restore"))]
        self.assertEqual(counts, list(range(counts[0], counts[0] + len(counts))),
                         "a number was lost or came twice")
        self.assertGreater(counts[-1], last)

        said = self.run_block("uninstall")
        self.assertIn("gave /etc/containerd/config.toml the content that it had", said)
        self.assertIn("ended cryopod-agent", said)
        self.assertNotIn("warning", said)
        self.node.containerd("restart")
        self.clean_what_the_test_left()
        after = self.describe_node()
        for what in before:
            self.assertEqual(([line for line in after[what] if line not in before[what]],
                              [line for line in before[what] if line not in after[what]]),
                             ([], []), f"{what}: too much, and too little")

    def describe_node(self):
        """All that must be as it was, by name."""
        return {name: self.node.shell(script).splitlines() for name, script in (
            ("files", LIST_FILES), ("accounts", READ_ACCOUNTS), ("containerd's file", READ_CONFIG),
            ("processes", LIST_PROCESSES))}

    def install_tree(self):
        text = self.commands["build"]
        self.assertEqual(text.count(ASSIGNMENT), 1)
        lines = text.replace(ASSIGNMENT, f"CRYOPOD={shlex.quote(PREFIX)} ").splitlines()
        if not os.environ.get("CRYOPOD_README_BUILD"):
            lines = [line for line in lines if not line.startswith(BUILD_STEPS)]
        with tempfile.TemporaryDirectory() as destination:
            subprocess.run(["bash", "-euc", "\n".join(lines)], cwd=lab.REPOSITORY, check=True,
                           env={**os.environ, "DESTDIR": destination}, stdout=subprocess.DEVNULL,
                           timeout=900 if os.environ.get("CRYOPOD_README_BUILD") else 120)
            tree = pathlib.Path(destination) / PREFIX.lstrip("/")
            self.assertTrue((tree / "bin/cryopodctl").exists(), sorted(tree.glob("*/*")))
            self.node.exec("mkdir", "-p", os.path.dirname(PREFIX))
            node.run("copy", tree, f"a:{PREFIX}")

    def run_block(self, name):
        """Runs a block in the node as one shell would that has run those before."""
        script = (f"CRYOPOD={shlex.quote(PREFIX)}\nPATH=\"$CRYOPOD/bin:$PATH\"\n"
                  f"set -e\n{self.commands[name]}")
        result = self.node.exec("bash", "-c", script, timeout_s=120, check=False)
        self.assertEqual(result.returncode, 0,
                         f"block {name!r}:\n{script}\n{result.stdout}{result.stderr}")
        print(f"--- {name}\n{result.stdout}", flush=True)
        return result.stdout

    def wait_for_agent(self):
        lab.wait_until(
            lambda: self.node.exec("test", "-S", "/run/cryopod/agent.sock",
                                   check=False).returncode == 0,
            lambda: "the agent serves: " + self.node.shell("tail /var/log/cryopod-agent.log"))

    def clean_what_the_test_left(self):
        """What is not the installation's: the folder above the odd prefix."""
        self.node.exec("rmdir", os.path.dirname(PREFIX))


if __name__ == "__main__":
    unittest.main(verbosity=2)
