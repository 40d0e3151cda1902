"""The manifests that an installation brings: rules that promtool takes and tests, units that systemd takes,
and a dashboard that asks for nothing that neither the agent nor the gateway tells.

Once for all nodes: nothing here depends on the version of cgroups. systemd does not run on lab nodes, so
its analyzer looks at the units as files.
"""
import json
import re
import subprocess
import unittest

import lab
import prometheus
from two_nodes import PodTest, a, setUpModule, tearDownModule  # noqa: F401

MANIFESTS = lab.REPOSITORY / "manifests"
UNITS = "/opt/cryopod/share/cryopod/systemd"
NAME = re.compile(r"\bcryopod_[a-z_]+\b")
# systemd's exposure in tenths, from 0 (shut in) to 100. The gateway: network and unix sockets are what it
# is for. The agent: it has root, all namespaces and no seccomp filter, because CRIU has to (the unit says
# why); what remains to it is no network, no new privileges and ten capabilities less.
EXPOSURE_MAX = {"cryopod-gateway": 25, "cryopod-agent": 85}
SCRAPE = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9464/metrics').read().decode())"


def promtool(*arguments):
    result = subprocess.run([prometheus.tools() / "promtool", *map(str, arguments)], timeout=60,
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode != 0:
        raise AssertionError(f"promtool {' '.join(map(str, arguments))}\n{result.stdout}")


def names_in(text):
    """The families that PromQL names: a histogram's series count as the histogram."""
    return set(NAME.findall(text))


def families_of(metrics):
    names = set()
    for line in metrics.splitlines():
        words = line.split()
        if words[:2] == ["#", "TYPE"]:
            names.add(words[2])
            if words[3] == "histogram":
                names.update(words[2] + suffix for suffix in ("_bucket", "_sum", "_count"))
    return names


class ManifestsTest(PodTest):
    def test_alerts_fire_for_their_cause_and_not_beside_it(self):
        promtool("check", "rules", MANIFESTS / "prometheus/alerts.yaml")
        promtool("test", "rules", lab.REPOSITORY / "tests/e2e/alerts_test.yaml")
        tested = (lab.REPOSITORY / "tests/e2e/alerts_test.yaml").read_text()
        alerts = re.findall(r"- alert: (\w+)", (MANIFESTS / "prometheus/alerts.yaml").read_text())
        self.assertTrue(alerts)
        for alert in alerts:
            self.assertIn(f"alertname: {alert}\n", tested)

    def test_prometheus_takes_the_scrape_example(self):
        promtool("check", "config", "--syntax-only", MANIFESTS / "prometheus/scrape.yaml")

    def test_systemd_takes_the_units_and_finds_them_as_shut_in_as_they_say(self):
        for unit, exposure_max in EXPOSURE_MAX.items():
            path = f"{UNITS}/{unit}.service"
            verified = a.exec("systemd-analyze", "verify", "--man=no", path, check=False)
            self.assertEqual((verified.returncode, verified.stdout + verified.stderr), (0, ""), unit)
            judged = a.exec("systemd-analyze", "security", "--offline=yes", "--no-pager",
                            f"--threshold={exposure_max}", path, check=False)
            self.assertEqual(judged.returncode, 0, judged.stdout + judged.stderr)

    def test_agents_of_the_lab_have_the_rights_that_the_unit_leaves_them(self):
        unit = (MANIFESTS / "systemd/cryopod-agent.service").read_text()
        taken = re.search(r"^CapabilityBoundingSet=~(.*)$", unit, re.MULTILINE)[1].split()
        bounding = int(re.search(r"^CapBnd:\s*(\w+)$", self.agent_status(), re.MULTILINE)[1], 16)
        script = (lab.REPOSITORY / "hack/lab.d/node/agent").read_text()
        for capability in taken:
            self.assertIn("-" + capability.removeprefix("CAP_").lower(), script)
        self.assertEqual(script.count(",-") + 1, len(taken))
        self.assertEqual(bounding & (1 << 16), 0, "CAP_SYS_MODULE is one of them")
        self.assertIn("NoNewPrivs:\t1", self.agent_status())

    def agent_status(self):
        return a.shell("cat /proc/$(/usr/libexec/lab/agent pid)/status")

    def test_every_metric_that_is_asked_for_is_told(self):
        told = families_of(self.metrics_of_a_used_node())
        asked = {}
        dashboard = json.loads((MANIFESTS / "grafana/cryopod.json").read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                asked.setdefault(f"panel {panel['title']}", set()).update(names_in(target["expr"]))
        for variable in dashboard["templating"]["list"]:
            asked[f"variable {variable['name']}"] = names_in(json.dumps(variable["query"]))
        rules = (MANIFESTS / "prometheus/alerts.yaml").read_text()
        asked["alerts"] = names_in(re.sub(r"(?m)^ *(#|description|summary).*", "", rules))
        self.assertGreater(len(set().union(*asked.values())), 20)
        missing = {where: sorted(names - told) for where, names in asked.items() if names - told}
        self.assertEqual(missing, {})

    def metrics_of_a_used_node(self):
        """What agent and gateway tell after a checkpoint, a restore, and one failure of each."""
        pod = self.run_pod("counted", lab.container("one", "counter"))
        archive = self.checkpoint(pod)["archive"]
        pod.remove()
        self.restore(archive, node=a)
        a.ctl("checkpoint", "default/nobody", check=False)
        a.ctl("restore", "no-such-archive", "--request-from-archive", check=False)
        a.shell("setsid /opt/cryopod/bin/cryopod-gateway --allow-root true >/var/log/gateway.log 2>&1 &")

        def scraped():
            return a.exec("python3", "-c", SCRAPE, check=False).stdout
        gateway = lab.wait_until(
            scraped, lambda: "the gateway answers: " + a.shell("tail /var/log/gateway.log"))
        return a.ctl("metrics").stdout + gateway


if __name__ == "__main__":
    unittest.main(verbosity=2)
