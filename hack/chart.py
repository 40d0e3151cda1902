"""Draws as SVG: panels with lines over time, single numbers, tables, and the parts that other charts are
made of. Standard library only.

Colours are CSS classes, so that one picture serves light and dark pages.
"""
import math
import textwrap
from xml.sax.saxutils import escape

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c6bb1", "#999933",
           "#aa4499", "#7f7f7f")
STYLE = """
  text { font: 12px sans-serif; fill: #24292f }
  .page { fill: #f4f5f7 } .panel { fill: #ffffff; stroke: #d8dce1 }
  .title { font-weight: 600; font-size: 13px } .heading { font-weight: 600; font-size: 15px }
  .small, .tick { font-size: 10.5px; fill: #57606a } .big { font-size: 30px; font-weight: 600 }
  .grid { stroke: #e3e6ea } .axis { stroke: #9aa2ab }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6e8eb } .page { fill: #14161a } .panel { fill: #1d2026; stroke: #34393f }
    .small, .tick { fill: #a0a8b1 } .grid { stroke: #2c3138 } .axis { stroke: #656d76 }
  }
"""
PADDING = 12
TITLE_HEIGHT = 24
LEGEND_LINE_HEIGHT = 15
LEGEND_LINES_MAX = 3
AXIS_WIDTH = 56
AXIS_HEIGHT = 18
CHARACTER_WIDTH = 6.0
TITLE_CHARACTER_WIDTH = 7.8


def document(width, height, body, title=""):
    named = f' role="img"><title>{escape(title)}</title>' if title else ">"
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
            f' height="{height}"{named}<style>{STYLE}</style>'
            f'<rect width="{width}" height="{height}" class="page"/>\n{body}</svg>\n')


def text(x, y, words, style="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1, y1, x2, y2, style):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def polyline(points, colour, width):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"'
            ' stroke-linejoin="round"/>')


def frame(x, y, width, height, title):
    return (f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" class="panel"/>'
            + text(x + PADDING, y + 20, title, "title"))


def trimmed(value):
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def in_unit(value, unit):
    """A value as people read it."""
    if value is None or math.isnan(value):
        return "–"
    if unit == "s":
        for limit, factor, name in ((0.001, 1e6, "µs"), (1, 1e3, "ms"), (120, 1, "s")):
            if abs(value) < limit:
                return f"{trimmed(value * factor)} {name}" if value else "0 s"
        return f"{trimmed(value / 60)} min"
    if unit == "bytes":
        for name in ("B", "KiB", "MiB", "GiB", "TiB"):
            if abs(value) < 1024 or name == "TiB":
                return f"{trimmed(value)} {name}"
            value /= 1024
    if unit == "percentunit":
        return f"{trimmed(value * 100)} %"
    return trimmed(value)


def ticks(top, unit):
    """At most six round values from 0 to at least `top`."""
    if top <= 0:
        return [0, 1]
    base = 1
    if unit == "bytes":
        while base * 1024 <= top:
            base *= 1024
    rough = top / base / 4
    magnitude = 10 ** math.floor(math.log10(rough))
    step = next(f * magnitude for f in (1, 2, 5, 10) if f * magnitude >= rough) * base
    if unit == "none" and step < 1:
        step = 1
    return [i * step for i in range(math.ceil(top / step - 1e-9) + 1)]


def stat(x, y, width, height, title, value, unit):
    first, *rest = textwrap.wrap(title, int((width - 2 * PADDING) / TITLE_CHARACTER_WIDTH))
    parts = [frame(x, y, width, height, first)]
    if rest:
        parts.append(text(x + PADDING, y + 36, " ".join(rest), "title"))
    parts.append(text(x + width / 2, y + height / 2 + 34, in_unit(value, unit), "big", "middle"))
    return "".join(parts)


def table(x, y, width, height, title, rows):
    """`rows`: (what, value) pairs, without repetition."""
    parts = [frame(x, y, width, height, title)]
    for i, (what, value) in enumerate(rows[:int((height - 30) / 18)]):
        parts.append(text(x + PADDING, y + 46 + i * 18, what, "small"))
        parts.append(text(x + width / 3, y + 46 + i * 18, value))
    return "".join(parts)


def legend(x, y, width, names):
    """The entries under a chart, and how many lines they take."""
    parts, column, row = [], 0.0, 0
    for i, name in enumerate(names):
        needed = 22 + len(name) * CHARACTER_WIDTH + 10
        if column and column + needed > width:
            column, row = 0.0, row + 1
        if row == LEGEND_LINES_MAX:
            break
        top = y + row * LEGEND_LINE_HEIGHT
        parts.append(f'<rect x="{x + column:.1f}" y="{top - 8}" width="14" height="4" rx="2"'
                     f' fill="{PALETTE[i % len(PALETTE)]}"/>')
        parts.append(text(x + column + 19, top, name, "small"))
        column += needed
    return "".join(parts), min(row + 1, LEGEND_LINES_MAX)


def pieces(points):
    """Runs of points without a gap: where a sample is missing no line is drawn."""
    run = []
    for at, value in points:
        if math.isnan(value) or math.isinf(value):
            if run:
                yield run
            run = []
        else:
            run.append((at, value))
    if run:
        yield run


def curves(series, place):
    parts = []
    for i, (_, points) in enumerate(series):
        colour = PALETTE[i % len(PALETTE)]
        for run in pieces(points):
            points = [place(at, value) for at, value in run]
            if len(points) == 1:
                x, y = points[0]
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>')
            else:
                parts.append(polyline(points, colour, 1.6))
    return "".join(parts)


def lines(x, y, width, height, title, series, unit, span):
    """`series`: (name, [(time, value)]); `span`: (first, last) time in seconds."""
    names = [name for name, _ in series]
    _, legend_lines = legend(0, 0, width - 2 * PADDING, names)
    left, top = x + AXIS_WIDTH, y + TITLE_HEIGHT + 12
    right = x + width - PADDING
    bottom = y + height - AXIS_HEIGHT - legend_lines * LEGEND_LINE_HEIGHT - 8
    values = [value for _, points in series for _, value in points if math.isfinite(value)]
    marks = ticks(max(values, default=0), unit)

    def place(at, value):
        return (left + (at - span[0]) / (span[1] - span[0]) * (right - left),
                bottom - value / marks[-1] * (bottom - top))

    parts = [frame(x, y, width, height, title)]
    for mark in marks:
        height_of_mark = place(span[0], mark)[1]
        parts.append(line(left, height_of_mark, right, height_of_mark, "grid"))
        parts.append(text(left - 6, height_of_mark + 4, in_unit(mark, unit), "tick", "end"))
    minutes = int((span[1] - span[0]) // 60)
    for minute in range(minutes + 1):
        across = place(span[0] + minute * 60, 0)[0]
        parts.append(line(across, bottom, across, bottom + 4, "axis"))
        at_the_edge = across > right - 3 * CHARACTER_WIDTH
        parts.append(text(across, bottom + 16, f"{minute} min" if minute else "0", "tick",
                          "end" if at_the_edge else "middle"))
    parts.append(line(left, bottom, right, bottom, "axis"))
    parts.append(curves(series, place))
    entries, _ = legend(x + PADDING, bottom + AXIS_HEIGHT + 16, width - 2 * PADDING, names)
    parts.append(entries if series else text(left + 8, top + 20, "no samples", "small"))
    return "".join(parts)
