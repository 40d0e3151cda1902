"""Pairs of one round, and what they say together."""
import dataclasses
import statistics

# A leg whose memory cost so much more than the run's cheapest measured the host, not the peer.
PAGE_COST_MAX = 1.5
PAIRS_MIN = 3


@dataclasses.dataclass(frozen=True)
class Side:
    """Who, on which load, doing what."""
    case: str
    peer: str
    act: str


class Legs:
    """The legs of a run, found by side and round."""

    def __init__(self, records):
        self._by_side = {}
        for leg in records:
            if leg["kind"] == "leg":
                side = Side(leg["case"], leg["peer"], leg["act"])
                self._by_side.setdefault(side, {})[leg["round"]] = leg
        costs = [leg["page_us"] for legs in self._by_side.values() for leg in legs.values()]
        self._page_us_max = PAGE_COST_MAX * min(costs, default=0)

    def values(self, side, key):
        """All that a side has measured, whatever its memory cost."""
        return [leg[key] for _, leg in sorted(self._by_side.get(side, {}).items())]

    def pairs(self, ours, peer, key):
        """((ours, peer) of each round that both have), and a remark on the rounds left out, or None."""
        own, other = self._by_side.get(ours, {}), self._by_side.get(peer, {})
        rounds = sorted(own.keys() & other.keys())
        cheap = [number for number in rounds
                 if max(own[number]["page_us"], other[number]["page_us"]) <= self._page_us_max]
        remark = None
        if len(cheap) < len(rounds):
            dear = len(rounds) - len(cheap)
            if len(cheap) >= PAIRS_MIN and 2 * len(cheap) >= len(rounds):
                remark = f"{dear} of {len(rounds)} pairs left out: their memory was expensive"
                rounds = cheap
            else:
                remark = f"the memory of {dear} of {len(rounds)} pairs was expensive; none left out"
        return [(own[number][key], other[number][key]) for number in rounds], remark


@dataclasses.dataclass(frozen=True)
class Spread:
    median: float
    iqr: "float | None"
    n: int


def spread(values):
    """None of no values; of a single one there is no range."""
    if not values:
        return None
    iqr = None
    if len(values) > 1:
        first, _, third = statistics.quantiles(values, n=4, method="inclusive")
        iqr = third - first
    return Spread(statistics.median(values), iqr, len(values))
