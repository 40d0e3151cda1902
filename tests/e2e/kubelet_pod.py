"""A pod as a kubelet makes it on its node: everything that it mounts is made anew for every pod, under
another path, with other contents and other sizes."""
import secrets
import uuid

import lab
from bare_pod import BarePod

PODS = "/var/lib/kubelet/pods"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
CONFIG = "/config"
DOWNWARD = "/podinfo"
SUB_PATH = "/app/settings.conf"

# Publishes what stands in the directory $2 in the volume $1, as the kubelet's atomic writer does: a new
# directory with a time in its name, ..data led to it by a rename, the old one removed.
PUBLISH = """
set -e
digits=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
stamped=$1/..$(date -u +%Y_%m_%d_%H_%M_%S).$digits
mkdir "$stamped"
cp "$2"/* "$stamped"/
old=$(readlink "$1/..data" || true)
ln -s "$(basename "$stamped")" "$1/..data_tmp"
mv -T "$1/..data_tmp" "$1/..data"
for file in "$stamped"/*; do
  name=$(basename "$file")
  [ -L "$1/$name" ] || ln -s "..data/$name" "$1/$name"
done
[ -z "$old" ] || rm -rf "$1/$old"
"""
CLEAN = """
grep -o " $1/[^ ]*" /proc/self/mounts | tac | while read -r mount; do umount "$mount"; done
rm -rf "$1"
"""


class KubeletPod(BarePod):
    """A pod with the mounts that a kubelet gives to every pod, and volumes of its kinds. It is run as a
    kubelet does it: one container created and started after the other, each of the `init` containers
    to its end before the next.

    Every container gets /etc/hosts, a new /dev/termination-log with every attempt, a service account's
    token, the configMap "settings" at /config and one key of it by subPath, and the downward API.
    """

    def __init__(self, node, restore_from, *containers, init=(), text="first", uid=None):
        super().__init__(node, restore_from, *init, *containers)
        self.init = [container["metadata"]["name"] for container in init]
        self.pod_uid = uid or str(uuid.uuid4())
        self.root = f"{PODS}/{self.pod_uid}"
        self.text = text
        self.logs = {name: [] for name in self.made}  # paths of the termination logs, by attempt

    def _config(self, attempt):
        config = lab.pod(self.name, uid=self.pod_uid, attempt=attempt,
                         annotations=self.annotations)
        config["dns_config"] = {"servers": ["192.0.2.1"], "searches": [f"{self.text}.example"]}
        return config

    def volume(self, kind, name):
        return f"{self.root}/volumes/kubernetes.io~{kind}/{name}"

    def prepare(self):
        """What the kubelet makes before the pod's sandbox."""
        self.node.write(f"{self.root}/etc-hosts", f"# {self.text}\n127.0.0.1 localhost\n")
        token = self.volume("projected", "kube-api-access")
        self.node.exec("mkdir", "-p", token)
        self.node.exec("mount", "-t", "tmpfs", "tmpfs", token)
        self.rotate_token(self.text)
        self.rotate_settings(self.text)
        self.publish("downward-api", "podinfo", {"labels": f'text="{self.text}"\n'})

    def rotate_token(self, text):
        self.publish("projected", "kube-api-access",
                     {"token": f"token-{text}-{secrets.token_hex(len(text))}\n",
                      "ca.crt": f"certificate of {text}\n", "namespace": "default"})

    def rotate_settings(self, text):
        self.publish("configmap", "settings",
                     {"settings.conf": f"settings {text}\n", "other.conf": f"other {text}\n"})

    def publish(self, kind, name, files):
        volume = self.volume(kind, name)
        staged = f"{self.root}/staged"
        for file, content in files.items():
            self.node.write(f"{staged}/{file}", content)
        self.node.exec("mkdir", "-p", volume)
        self.node.exec("sh", "-c", PUBLISH, "_", volume, staged)
        self.node.exec("rm", "-rf", staged)

    def _container(self, container, attempt):
        name = container["metadata"]["name"]
        log = f"{self.root}/containers/{name}/{secrets.token_hex(4)}"
        self.node.write(log, "")
        self.node.exec("chmod", "666", log)
        self.logs[name].append(log)
        sub_path = self._sub_path(name)
        container["linux"]["security_context"].update(masked_paths=lab.MASKED_PATHS,
                                                      readonly_paths=lab.READ_ONLY_PATHS)
        container["mounts"] += [
            mount(self.volume("projected", "kube-api-access"), SERVICE_ACCOUNT, True),
            mount(self.volume("configmap", "settings"), CONFIG, True),
            mount(sub_path, SUB_PATH, True),
            mount(self.volume("downward-api", "podinfo"), DOWNWARD, True),
            mount(f"{self.root}/etc-hosts", "/etc/hosts"),
            mount(log, "/dev/termination-log"),
        ]
        container["labels"].update({"io.kubernetes.pod.name": self.name,
                                    "io.kubernetes.pod.namespace": "default",
                                    "io.kubernetes.pod.uid": self.pod_uid})
        container["annotations"].update({
            "io.kubernetes.container.terminationMessagePath": "/dev/termination-log",
            "io.kubernetes.container.terminationMessagePolicy": "File",
            "io.kubernetes.pod.terminationGracePeriod": "30"})
        return container

    def _sub_path(self, name):
        """One key of the configMap, bound to a path of its own."""
        path = f"{self.root}/volume-subpaths/settings/{name}/0"
        if self.node.exec("mountpoint", "-q", path, check=False).returncode != 0:
            self.node.write(path, "")
            self.node.exec("mount", "--bind",
                           f"{self.volume('configmap', 'settings')}/settings.conf", path)
        return path

    def run_sandbox(self):
        if not self.sandboxes:
            self.prepare()
        super().run_sandbox()

    def run(self):
        """A new sandbox, and every container anew in it. The volumes stay."""
        super().end()
        self.run_sandbox()
        for name in self.made:
            self.restart(name)
            if name in self.init:
                self.pod().wait_until_ended(name)

    def end(self):
        super().end()
        self.node.exec("sh", "-c", CLEAN, "_", self.root, check=False)


def mount(source, destination, read_only=False):
    return {"host_path": source, "container_path": destination, "readonly": read_only}

