#!/usr/bin/python3
"""An archive that is restored once is restored to one pod, whatever the UID of the next; a pod whose
image, command or working directory is not the checkpointed one's is refused; and both start cold
where the pod allows it, never in silence."""
import json
import unittest

import lab
from bare_pod import BarePod
from two_nodes import PodTest, a, request_for, setUpModule, tearDownModule, unique  # noqa: F401

REFUSED = 5
ONCE = "cryopod.dev/restore-once"
ON_FAILURE = "cryopod.dev/on-restore-failure"
DIFFERENCES = "cryopod.dev/differences"


class RestoreOnceTest(PodTest):
    """Pods that are to be restored from a pod which runs on."""

    @classmethod
    def setUpClass(cls):
        cls.make_origin(lab.container("one", "counter", env={"COLOUR": "secret-blue"}))

    def make_archive(self, *options):
        name = unique("archive")
        a.ctl("checkpoint", self.source.sandbox, "--archive", name, *options)
        return name

    def bare_pod(self, archive, container=None, **annotations):
        pod = BarePod(a, archive, container or
                      lab.container("one", "counter", env={"COLOUR": "secret-blue"}))
        pod.annotations.update(annotations)
        self.addCleanup(pod.end)
        return pod

    def assert_restored(self, pod):
        self.assert_went_on(self.before["one"], pod.report())

    def assert_cold(self, pod):
        self.assertNotEqual(pod.report()["instance"], self.before["one"]["instance"])

    def agent_log(self, message, pod):
        return [line for line in map(json.loads, a.read(lab.AGENT_LOG).splitlines())
                if message in line["msg"] and pod.name in line.get("pod", "")]

    def counted(self, family, **labels):
        wanted = ",".join(f'{name}="{value}"' for name, value in labels.items())
        for line in a.ctl("metrics").stdout.splitlines():
            if line.startswith(f"cryopod_{family}{{{wanted}}} "):
                return int(line.rsplit(" ", 1)[1])
        return 0

    def request_file(self, container):
        path = f"/root/{unique('request')}.json"
        a.write(path, json.dumps(request_for(lab.pod(unique("request")), [container])))
        return path


    def remove_pod_of(self, request):
        name = json.loads(a.read(request))["config"]["metadata"]["name"]
        a.ctl("pod", "remove", f"default/{name}")


class SecondPodTest(RestoreOnceTest):
    def test_it_is_refused_again_and_again_and_hears_by_whom(self):
        archive = self.make_archive("--restore-once")
        first, second = self.bare_pod(archive), self.bare_pod(archive)
        first.run()
        self.assert_restored(first)

        refused = self.counted("runtime_operations_errors_total", operation_type="restore_pod",
                               reason="already_restored")
        for reason in second.refusals():
            self.assertIn("AlreadyRestored", reason)
            self.assertIn(f"default/{first.name} with UID {first.uid}", reason)
        self.assertEqual(self.counted("runtime_operations_errors_total",
                                      operation_type="restore_pod", reason="already_restored"),
                         refused + 2)

        # The one that was restored is any pod: a crash starts it cold.
        first.crash()
        first.restart()
        self.assert_cold(first)

    def test_it_is_refused_by_the_next_agent_and_when_the_archive_is_imported_again(self):
        archive = self.make_archive("--restore-once")
        self.bare_pod(archive).run()
        a.ctl("export", archive, "--file", f"/root/{archive}.tar")
        a.ctl("delete", archive)
        a.ctl("import", f"/root/{archive}.tar")
        a.agent("restart")

        for reason in self.bare_pod(archive).refusals():
            self.assertIn("AlreadyRestored", reason)

    def test_it_is_refused_when_the_first_pod_alone_has_asked_for_once(self):
        archive = self.make_archive()
        self.bare_pod(archive, **{ONCE: "true"}).run()

        for reason in self.bare_pod(archive).refusals():
            self.assertIn("AlreadyRestored", reason)

    def test_it_is_restored_where_nobody_asks_for_once(self):
        archive = self.make_archive()
        for pod in (self.bare_pod(archive), self.bare_pod(archive, **{ONCE: "false"})):
            pod.run()
            self.assert_restored(pod)

    def test_it_starts_cold_where_it_allows_it_and_all_can_see_why(self):
        archive = self.make_archive("--restore-once")
        self.bare_pod(archive).run()
        second = self.bare_pod(archive, **{ON_FAILURE: "cold-start"})
        counted = self.counted("pod_cold_starts_total", reason="already_restored")

        second.run()

        self.assert_cold(second)
        (line,) = self.agent_log("starts cold", second)
        self.assertEqual((line["level"], line["reason_code"]), ("warning", "already_restored"))
        self.assertEqual(self.counted("pod_cold_starts_total", reason="already_restored"),
                         counted + 1)
        self.assertIn("AlreadyRestored", a.read(f"/var/lib/cryopod/consumed/{second.uid}/.cold"))
        # Nothing of a restore is left that would keep a checkpoint away.
        a.ctl("checkpoint", second.pod().sandbox, "--archive", unique("cold"))
        # And it stays a cold one.
        second.crash()
        second.restart()
        self.assert_cold(second)

    def test_cryopodctl_obeys_and_its_record_can_be_removed(self):
        archive = self.make_archive("--restore-once")
        first = self.restore(archive, a)
        self.assert_all_went_on(self.before, first)
        before = a.sandboxes()

        refused = a.ctl("--output", "json", "restore", archive, "--request-from-archive",
                        check=False)

        self.assertEqual(refused.returncode, REFUSED, refused.stderr)
        error = json.loads(refused.stderr)["error"]
        self.assertEqual(error["reason"], "already_restored")
        self.assertEqual(a.sandboxes(), before, "nothing was made for it")
        record = error["message"].split("remove ", 1)[1].split(" ", 1)[0]
        a.exec("rm", record)
        self.assert_all_went_on(self.before, self.restore(archive, a))


class AbsentArchiveTest(RestoreOnceTest):
    def test_it_starts_cold_where_the_pod_allows_it_and_else_never(self):
        pod = self.bare_pod("no-such-archive", **{ON_FAILURE: "cold-start"})
        strict = self.bare_pod("no-such-archive", **{ON_FAILURE: "fail"})

        pod.run()

        self.assert_cold(pod)
        self.assertTrue(self.agent_log("starts cold", pod))
        strict.refusals()


class DifferencesTest(RestoreOnceTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.archive_of_all = unique("archive")
        a.ctl("checkpoint", cls.source.sandbox, "--archive", cls.archive_of_all)

    def check(self, name, container, here, there):
        """A pod with this container is refused, both sides named; allowed by this name it is restored."""
        for reason in self.bare_pod(self.archive_of_all, container).refusals():
            self.assertIn(here, reason)
            self.assertIn(there, reason)
            self.assertIn(f"{DIFFERENCES}: {name}", reason)
        allowed = self.bare_pod(self.archive_of_all, container, **{DIFFERENCES: name})
        allowed.run()
        self.assert_restored(allowed)

    def test_another_image(self):
        container = lab.container("one", "counter", image=lab.OTHER_WORKLOADS_IMAGE)

        self.check("image", container, lab.OTHER_WORKLOADS_IMAGE, lab.WORKLOADS_IMAGE)

    def test_the_same_image_under_another_name_is_none(self):
        a.exec("ctr", "-n", "k8s.io", "images", "tag", "--force", lab.WORKLOADS_IMAGE, "lab.local/alias:1")
        pod = self.bare_pod(self.archive_of_all,
                            lab.container("one", "counter", image="lab.local/alias:1"))

        pod.run()

        self.assert_restored(pod)

    def test_another_command(self):
        self.check("command", lab.container("one", "counter --other"), '"counter --other"',
                   '"counter"')

    def test_another_working_directory(self):
        container = lab.container("one", "counter")
        container["working_dir"] = "/tmp"

        self.check("working-directory", container, '"/tmp"', '"/"')

    def test_a_difference_may_lead_to_a_cold_start(self):
        pod = self.bare_pod(self.archive_of_all,
                            lab.container("one", "counter", image=lab.OTHER_WORKLOADS_IMAGE),
                            **{ON_FAILURE: "cold-start"})

        pod.run()

        self.assert_cold(pod)
        (line,) = self.agent_log("starts cold", pod)
        self.assertEqual(line["reason_code"], "request_differs")

    def test_an_unknown_name_is_refused_with_those_that_there_are(self):
        for reason in self.bare_pod(self.archive_of_all, **{DIFFERENCES: "imgae"}).refusals():
            self.assertIn('"imgae"', reason)
            self.assertIn("image, command, working-directory", reason)

    def test_another_environment_is_told_by_its_names(self):
        request = self.request_file(lab.container("one", "counter", env={"SHAPE": "secret-round"}))

        answer = a.ctl("--output", "json", "restore", self.archive_of_all, "--request", request)

        (warning,) = json.loads(answer.stdout)["warnings"]
        self.assertIn("COLOUR, SHAPE", warning)
        self.assertNotIn("secret", warning + a.read(lab.AGENT_LOG))
        self.remove_pod_of(request)

    def test_cryopodctl_is_refused_in_the_same_way(self):
        request = self.request_file(lab.container("one", "counter --other"))

        refused = a.ctl("--output", "json", "restore", self.archive_of_all, "--request", request,
                        check=False)

        error = json.loads(refused.stderr)["error"]
        self.assertEqual(error["reason"], "request_differs")
        self.assertIn("counter --other", error["message"])
        answer = a.ctl("--output", "json", "restore", self.archive_of_all, "--request", request,
                       "--differences", "command")
        self.assertIn("counter --other", " ".join(json.loads(answer.stdout)["warnings"]))
        self.remove_pod_of(request)


if __name__ == "__main__":
    unittest.main(verbosity=2)
