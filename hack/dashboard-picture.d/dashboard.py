"""A Grafana dashboard's panels, filled by a Prometheus and drawn. Standard library only."""
import json
import re

import chart

COLUMN_WIDTH = 50
ROW_HEIGHT = 31
MARGIN = 10
STEP_S = 2
RATE_INTERVAL = "20s"


class Dashboard:
    def __init__(self, path):
        self._panels = json.loads(path.read_text())["panels"]

    def draw(self, server, start_s, end_s, caption):
        """The whole dashboard as one SVG, over the samples between the two times."""
        bodies = [self._draw_panel(panel, server, (start_s, end_s)) for panel in self._panels]
        height = max(_bottom(panel) for panel in self._panels) * ROW_HEIGHT + 2 * MARGIN + 24
        width = 24 * COLUMN_WIDTH + 2 * MARGIN
        foot = chart.text(MARGIN + 4, height - 12, caption, "small")
        return chart.document(width, height, "\n".join(bodies) + foot)

    def _draw_panel(self, panel, server, span):
        place = panel["gridPos"]
        box = (MARGIN + place["x"] * COLUMN_WIDTH + 3, MARGIN + place["y"] * ROW_HEIGHT + 3,
               place["w"] * COLUMN_WIDTH - 6, place["h"] * ROW_HEIGHT - 6)
        if panel["type"] == "row":
            return chart.text(box[0] + 2, box[1] + 19, panel["title"], "heading")
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "none")
        if panel["type"] == "stat":
            samples = server.query(_expression(panel["targets"][0]))
            value = samples[0][1] if samples else None
            return chart.stat(*box, panel["title"], value, unit)
        if panel["type"] == "table":
            return chart.table(*box, panel["title"], _rows(panel, server))
        return chart.lines(*box, panel["title"], _series(panel, server, span), unit, span)


def _bottom(panel):
    return panel["gridPos"]["y"] + panel["gridPos"]["h"]


def _expression(target):
    return target["expr"].replace("$__rate_interval", RATE_INTERVAL).replace("$instance", ".*")


def _name(target, labels):
    form = target.get("legendFormat") or "{{__name__}}"
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found.group(1), ""), form)


def _series(panel, server, span):
    """Named series, the gaps between their samples told by NaN."""
    series = []
    for target in panel["targets"]:
        for labels, points in server.query_range(_expression(target), *span, STEP_S):
            filled = []
            for at, value in points:
                if filled and at - filled[-1][0] > 1.5 * STEP_S:
                    filled.append((filled[-1][0] + STEP_S, float("nan")))
                filled.append((at, value))
            series.append((_name(target, labels), filled))
    return sorted(series, key=lambda one: one[0])


def _rows(panel, server):
    """What the info families of a table say; once what all nodes have in common."""
    rows = []
    for target in panel["targets"]:
        for labels, _ in server.query(_expression(target)):
            what = labels["__name__"].removeprefix("cryopod_").removesuffix("_info")
            values = [value for key, value in sorted(labels.items())
                      if key not in ("__name__", "instance", "job", "node")]
            row = (what, " · ".join(values))
            if row not in rows:
                rows.append(row)
    return rows
