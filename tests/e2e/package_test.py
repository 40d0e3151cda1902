"""The Debian package: what is in it, that its programs start on a node with other libraries than the machine
that built it, and that removing it first takes the installation back."""
import os
import re
import subprocess
import unittest

import lab

# Some of each kind; "(?m)^…$" is added.
CONTENT = (
    r"-rwxr-xr-x root/root .* \./opt/cryopod/bin/cryopod-agent",
    r"-rwxr-xr-x root/root .* \./opt/cryopod/bin/cryopodctl",
    r"-rwxr-xr-x root/root .* \./opt/cryopod/bin/cryopod-runtime",
    r"-rwxr-xr-x root/root .* \./opt/cryopod/libexec/cryopod/launcher/criu",
    r"-rw-r--r-- root/root .* \./opt/cryopod/share/cryopod/containerd/cryopod\.toml",
    r"-rw-r--r-- root/root .* \./opt/cryopod/share/cryopod/systemd/cryopod-agent\.service",
    r"-rw-r--r-- root/root .* \./opt/cryopod/share/cryopod/grafana/cryopod\.json",
    r"-rw-r--r-- root/root .* \./opt/cryopod/share/cryopod/example/counter\.tar",
    r"-rw-r--r-- root/root .* \./opt/cryopod/share/bash-completion/completions/cryopodctl",
    r"-rw-r--r-- root/root .* \./opt/cryopod/share/zsh/site-functions/_cryopodctl",
    r"-rw-r--r-- root/root .* \./opt/cryopod/share/doc/cryopod/LICENSE",
    r"-rw-r--r-- root/root .* \./opt/cryopod/share/doc/cryopod/licences/libgrpc-dev",
    r"-rw-r--r-- root/root .* \./opt/cryopod/share/doc/cryopod/licences/libtomlplusplus-dev",
)
# Where Debian's shells look, and the first line of what they find there.
COMPLETIONS = {"/usr/share/bash-completion/completions/cryopodctl": "_cryopodctl() {",
               "/usr/share/zsh/vendor-completions/_cryopodctl": "#compdef cryopodctl"}
PROGRAMS = ("cryopod-agent", "cryopodctl", "cryopod-gateway")

nodes = lab.Lab(nodes=1, prefix="none", name=os.environ.get("CRYOPOD_LAB_NAME"))


def setUpModule():
    unittest.addModuleCleanup(nodes.down)
    nodes.down()
    nodes.up()


class PackageTest(unittest.TestCase):
    def setUp(self):
        self.node = nodes["a"]
        self.package = subprocess.run([lab.REPOSITORY / "hack/package"], check=True, text=True,
                                      timeout=280, stdout=subprocess.PIPE).stdout.split()[-1]

    def test_the_package_is_whole_and_goes_without_a_trace(self):
        listed = subprocess.run(["dpkg", "-c", self.package], check=True, text=True, timeout=60,
                                stdout=subprocess.PIPE).stdout
        for line in CONTENT:
            self.assertRegex(listed, f"(?m)^{line}$")
        self.assertNotRegex(listed, "cri-tool")
        bundled = re.findall(r"\./opt/cryopod/lib/(\S+)", listed)
        self.assertFalse([name for name in bundled if name.startswith(("libc.so", "libm.so"))])

        nodes.run("copy", self.package, "a:/root/cryopod.deb")
        self.node.exec("dpkg", "-i", "/root/cryopod.deb")
        for program in PROGRAMS:
            version = self.node.exec(f"/opt/cryopod/bin/{program}", "--version").stdout
            self.assertRegex(version, rf"^{program} \d+\.\d+\.\d+\n$")
        self.node.exec("/opt/cryopod/bin/cryopod-runtime", "--version")
        for script, first_line in COMPLETIONS.items():
            self.assertEqual(self.node.read(script).partition("\n")[0], first_line)

        before = self.node.read("/etc/containerd/config.toml")
        self.node.exec("/opt/cryopod/bin/cryopodctl", "node", "install")
        self.assertNotEqual(self.node.read("/etc/containerd/config.toml"), before)
        removed = self.node.exec("dpkg", "-r", "cryopod").stdout
        self.assertIn("gave /etc/containerd/config.toml the content that it had", removed)
        self.assertEqual(self.node.read("/etc/containerd/config.toml"), before)
        left = self.node.shell("ls -d /opt/cryopod /etc/cryopod /var/lib/cryopod/* "
                               f"{' '.join(COMPLETIONS)} 2>/dev/null; true")
        self.assertEqual(left, "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
