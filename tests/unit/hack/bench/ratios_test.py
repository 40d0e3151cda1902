import unittest

from bench.ratios import Legs, Side, Spread, spread
from records import leg

OURS = Side("64mib", "cryopod", "checkpoint")
PEER = Side("64mib", "runc", "checkpoint")


def legs(costs, missing=()):
    """Our leg and the peer's of every round; `costs` are (ours, peer's) microseconds a page."""
    records = []
    for number, (own, other) in enumerate(costs):
        records.append(leg("64mib", "cryopod", number, page_us=own, freeze_ms=10 + number))
        if number not in missing:
            records.append(leg("64mib", "runc", number, page_us=other, freeze_ms=20 + number))
    return Legs(records)


class PairsTest(unittest.TestCase):
    def test_a_pair_is_of_one_round(self):
        pairs, remark = legs([(1, 1)] * 4, missing=(1,)).pairs(OURS, PEER, "freeze_ms")

        self.assertEqual([(10, 20), (12, 22), (13, 23)], pairs)
        self.assertIsNone(remark)

    def test_a_leg_with_expensive_memory_takes_its_partner_along(self):
        pairs, remark = legs([(1, 1), (1.6, 1), (1, 1.6), (1.5, 1), (1, 1), (1, 1)]).pairs(
            OURS, PEER, "freeze_ms")

        self.assertEqual([10, 13, 14, 15], [own for own, _ in pairs])
        self.assertIn("2 of 6 pairs left out", remark)

    def test_all_pairs_stay_when_fewer_than_three_or_than_half_would(self):
        for costs, dear in (([(1, 1), (1, 1), (9, 1)], "1 of 3"),
                            ([(1, 1)] * 3 + [(9, 9)] * 4, "4 of 7")):
            pairs, remark = legs(costs).pairs(OURS, PEER, "freeze_ms")

            self.assertEqual(len(costs), len(pairs))
            self.assertIn(f"{dear} pairs was expensive; none left out", remark)

    def test_memory_is_expensive_by_the_whole_run(self):
        records = [leg("64mib", peer, number, page_us=1)
                   for number in range(3) for peer in ("cryopod", "runc")]
        records.append(leg("small", "podman", 0, page_us=0.1))

        _, remark = Legs(records).pairs(OURS, PEER, "freeze_ms")

        self.assertIn("3 of 3", remark)

    def test_a_side_without_legs_has_no_pairs(self):
        self.assertEqual(([], None), Legs([]).pairs(OURS, PEER, "freeze_ms"))


class SpreadTest(unittest.TestCase):
    def test_median_and_quartiles_of_several_no_range_of_one_and_nothing_of_none(self):
        self.assertEqual(Spread(3, 2, 5), spread([1, 2, 3, 4, 100]))
        self.assertEqual(Spread(5, None, 1), spread([5]))
        self.assertIsNone(spread([]))
