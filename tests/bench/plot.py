"""Freeze against size with all peers, as one SVG that serves light and dark pages."""
import math
import statistics

import chart
from bench import grid
from bench.ratios import Side

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 74, 596, 56, 392
CAP = 4
LEGEND_ROW = 34
NAMES = {grid.OURS: "cryopod", "containerd": "containerd", "raw-criu": "raw CRIU to tmpfs",
         "raw-criu-container": "raw CRIU, a container",
         "runc": "runc + tar + zstd", "podman": "Podman export"}
COLOURS = dict(zip(NAMES, chart.PALETTE))


def in_words(ms):
    return chart.in_unit(ms / 1000, "s")


def in_size(mib):
    return chart.in_unit(mib * 2 ** 20, "bytes")


def curves(run):
    """{peer: [(MiB, median, least, most)]} of the freeze, over the cases that differ in size only."""
    found = {peer: [] for peer in NAMES}
    plain = grid.Case("plain").shape()
    for case in sorted(run.cases, key=lambda case: case.mib):
        if case.shape() != plain:
            continue
        for peer, points in found.items():
            values = run.legs.values(Side(case.name, peer, "checkpoint"), "freeze_ms")
            if values and min(values) > 0:
                points.append((case.mib, statistics.median(values), min(values), max(values)))
    return {peer: points for peer, points in found.items() if points}


class Axis:
    """A logarithmic axis from the decade (or double) below the least to that above the most."""

    def __init__(self, values, base, start, end):
        self._base = base
        self.first = math.floor(math.log(min(values), base) + 1e-9)
        self.last = max(self.first + 1, math.ceil(math.log(max(values), base) - 1e-9))
        self._start, self._end = start, end

    def place(self, value):
        share = (math.log(value, self._base) - self.first) / (self.last - self.first)
        return self._start + share * (self._end - self._start)

    def marks(self):
        return [self._base ** power for power in range(self.first, self.last + 1)]


def draw(run, caption):
    """None when the run has nothing to draw."""
    found = curves(run)
    if not found:
        return None
    sizes = sorted({point[0] for points in found.values() for point in points})
    across = Axis(sizes, 2, LEFT + 16, RIGHT - 16)
    up = Axis([value for points in found.values() for point in points for value in point[2:]], 10,
              BOTTOM, TOP)
    parts = [chart.frame(4, 4, WIDTH - 8, HEIGHT - 8, "How long the pod stands still, by its memory")]
    for mark in up.marks():
        parts.append(chart.line(LEFT, up.place(mark), RIGHT, up.place(mark), "grid"))
        parts.append(chart.text(LEFT - 8, up.place(mark) + 4, in_words(mark), "tick", "end"))
    for size in sizes:
        x = across.place(size)
        parts.append(chart.line(x, BOTTOM, x, BOTTOM + 4, "axis"))
        parts.append(chart.text(x, BOTTOM + 18, in_size(size), "tick", "middle"))
    parts.append(chart.line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis"))
    for number, (peer, points) in enumerate(found.items()):
        parts.append(curve(points, COLOURS[peer], across, up))
        parts.append(entry(TOP + 12 + number * LEGEND_ROW, peer, points))
    parts.append(chart.text(LEFT, BOTTOM + 44, "both axes logarithmic; medians, whiskers from the "
                            "shortest to the longest round", "small"))
    parts.append(chart.text(LEFT, BOTTOM + 60, caption, "small"))
    return chart.document(WIDTH, HEIGHT, "\n".join(parts), caption)


def curve(points, colour, across, up):
    parts = [chart.polyline([(across.place(point[0]), up.place(point[1])) for point in points], colour, 2)]
    for mib, median, least, most in points:
        x = across.place(mib)
        ends = "".join(f"M{x - CAP:.1f} {up.place(end):.1f}h{2 * CAP}" for end in (least, most))
        parts.append(f'<path d="M{x:.1f} {up.place(least):.1f}V{up.place(most):.1f}{ends}"'
                     f' stroke="{colour}" fill="none"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{up.place(median):.1f}" r="3.5" fill="{colour}"/>')
    return "".join(parts)


def entry(y, peer, points):
    """A line of the legend, with the figure of the largest size."""
    mib, median, _, _ = points[-1]
    return (f'<rect x="{RIGHT + 18}" y="{y - 5}" width="16" height="4" rx="2" fill="{COLOURS[peer]}"/>'
            + chart.text(RIGHT + 40, y, NAMES[peer])
            + chart.text(RIGHT + 40, y + 14, f"{in_words(median)} at {in_size(mib)}", "small"))
