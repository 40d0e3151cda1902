#!/usr/bin/python3
"""An archive holds the memory of its namespace: a pod of another one is not restored from it, and
hears nothing of it, unless the node's configuration names the pair."""
import json
import unittest

import lab
from bare_pod import BarePod
from two_nodes import (PodTest, a, request_for, setUpModule, tearDownModule,  # noqa: F401
                       unique)

NOT_FOUND = 3


class NamespacesTest(PodTest):
    @classmethod
    def setUpClass(cls):
        cls.make_origin(lab.container("the-secret-name", "counter"), namespace="team-a")

    def pod_of(self, namespace, restore_from=None):
        pod = BarePod(a, restore_from or self.archive, lab.container("the-secret-name", "counter"),
                      namespace=namespace)
        self.addCleanup(pod.end)
        return pod

    def check_restored(self, pod):
        pod.run()
        self.assert_went_on(self.before["the-secret-name"], pod.report("the-secret-name"))

    def test_a_pod_of_the_same_namespace_is_restored(self):
        self.check_restored(self.pod_of("team-a"))

    def test_a_pod_of_another_namespace_is_refused_and_hears_nothing_of_the_archive(self):
        foreign = self.pod_of("team-b").refusals()[1]
        absent = self.pod_of("team-b", "no-such-archive").refusals()[1]

        self.assertIn("namespace team-b", foreign)
        for word in ("team-a", "the-secret-name", "sha256"):
            self.assertNotIn(word, foreign)
        # The same words as for an archive that is not there.
        words = absent.replace("no-such-archive", self.archive).split("archive ", 1)[1]
        self.assertIn(words.split(" (", 1)[0], foreign)

    def test_its_digest_is_not_told_either(self):
        foreign = self.pod_of("team-b", f"{self.archive}@sha256:{'0' * 64}").refusals()[1]

        self.assertIn("namespace team-b", foreign)

    def test_a_request_for_another_namespace_is_refused(self):
        request = request_for(lab.pod(unique("request"), "team-b"),
                              [lab.container("another", "counter")])
        a.write("/root/foreign.json", json.dumps(request))

        refused = a.ctl("restore", self.archive, "--request", "/root/foreign.json", check=False)

        self.assertEqual(refused.returncode, NOT_FOUND, refused.stderr)
        self.assertIn("namespace team-b", refused.stderr)
        self.assertNotIn("the-secret-name", refused.stderr)

    def test_a_pair_that_the_configuration_names_may_share(self):
        self.configure_agent(a, '[agent]\nrestore_namespaces = "team-a:team-b"\n')

        self.check_restored(self.pod_of("team-b"))
        self.pod_of("team-c").refusals()

        given = [line for line in map(json.loads, a.read(lab.AGENT_LOG).splitlines())
                 if line["msg"].startswith("another namespace's archive is given")]
        self.assertTrue(given, "who was given whose memory stands in the log")
        self.assertEqual({(line["level"], line["archive"], line["of"], line["for"]) for line in given},
                         {("info", self.archive, "team-a", "team-b")})


if __name__ == "__main__":
    unittest.main(verbosity=2)
