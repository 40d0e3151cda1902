#!/usr/bin/python3
"""What is restored can be checkpointed again, and an archive can be restored again."""
import unittest

import lab
from two_nodes import PodTest, a, b, carry, setUpModule, tearDownModule  # noqa: F401

GENERATIONS = 5


class RestoreTwiceTest(PodTest):
    def test_two_pods_of_one_archive_live_beside_each_other(self):
        pod = self.run_pod("twice", lab.container("one", "counter"), lab.container("two", "writer"))
        before = self.reports(pod)
        archive = self.checkpoint(pod)["archive"]
        carry(archive)

        first, second = self.restore(archive), self.restore(archive)

        self.assertNotEqual(first.sandbox, second.sandbox)
        self.assertNotEqual(first.config["metadata"]["uid"], second.config["metadata"]["uid"])
        for copy in (first, second):
            self.assert_all_went_on(before, copy)

    def test_an_archive_can_be_restored_beside_its_source(self):
        pod = self.run_pod("beside", lab.container("one", "counter"))
        before = self.reports(pod)
        archive = self.checkpoint(pod)["archive"]

        restored = self.restore(archive, node=a)

        self.assert_all_went_on(before, restored)
        self.assert_ok(pod)


class GenerationsTest(PodTest):
    def test_five_generations_go_on_across_two_nodes_the_last_with_the_source_stopped(self):
        pod = self.run_pod("generations", lab.container("one", "counter"),
                           lab.container("two", "writer"), lab.container("three", "process_tree 3 2"))
        source, target = a, b
        counters = [pod.report("one")["counter"]]
        for generation in range(1, GENERATIONS + 1):
            is_last = generation == GENERATIONS
            self.assertEqual(pod.ask("two", "writer", "change"), "changed")
            older, pod = pod, self.move(pod, *(["--stop"] if is_last else []), target=target)

            counters.append(pod.report("one")["counter"])
            self.assertEqual(pod.report("two")["changes"], generation)
            self.assertEqual(older.sandbox in source.sandboxes(), not is_last)
            source, target = target, source
        self.assertEqual(counters, sorted(set(counters)))

    def test_a_restored_pod_is_left_running_by_its_checkpoint(self):
        restored = self.move(self.run_pod("again", lab.container("one", "counter")))

        self.checkpoint(restored)

        # Stopping is an option of the restore, and must not have stuck to the container.
        restored.wait_until_it_counts("one", beyond=10)
        self.assertEqual(b.read(f"/proc/{restored.pid('one')}/stat").split()[2], "S")


if __name__ == "__main__":
    unittest.main(verbosity=2)
