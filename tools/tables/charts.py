"""Charts as Plotly figures: JSON of counts and aggregates, without the rows of big tables."""

import html
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tools.tables.database import Column
from tools.tables.types import is_number
from tools.tables.wording import shortened

Figure = dict[str, Any]

_COLOR = "#3b6fb6"
_PALETTE = ("#3b6fb6", "#d1762c", "#3f9163", "#b5485d", "#7a5ea8")
_MAX_LABEL = 40
_MAX_NAME = 16
_MAX_SERIES = 5
_MAX_TITLE_LINE = 30
"""Characters that fit into a phone's width."""
_MAX_TITLE_LINES = 2
_PHONE_PIXELS = 240
"""Between the margins of a chart."""


def label(text: Any) -> str:
    """Returns text from a file for a chart, escaped because Plotly interprets some HTML."""
    return html.escape(shortened(str(text), _MAX_LABEL), quote=False)


def figure(title: str, data: list[dict[str, Any]], **layout: Any) -> Figure:
    """The legend stands between title and chart: beside it, it would take half of a phone's width."""
    lines = [html.escape(line, quote=False) for line in _wrapped(title)]
    legend = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"}
    of_legend = _legend_lines(data) if layout.get("showlegend", True) else 0
    margin = {"t": 36 + 20 * (len(lines) + of_legend), "r": 16, "b": 56, "l": 64}
    heading = {
        "text": "<br>".join(lines),
        "font": {"size": 15},
        "y": 1,
        "yref": "container",
        "yanchor": "top",
        "pad": {"t": 12},
    }
    return {
        "data": data,
        "layout": {"title": heading, "legend": legend, "margin": margin, "colorway": list(_PALETTE), **layout},
    }


def _legend_lines(data: Sequence[dict[str, Any]]) -> int:
    """Returns how many lines the legend takes on a phone."""
    names = [trace["name"] for trace in data if "name" in trace]
    if len(names) < 2:
        return 0
    beside_each_other = max(1, _PHONE_PIXELS // (40 + 7 * max(map(len, names))))
    return -(-len(names) // beside_each_other)


def _wrapped(text: str) -> list[str]:
    """Returns the text in lines for a phone; what is too long ends in an ellipsis."""
    lines = textwrap.wrap(text, _MAX_TITLE_LINE) or [""]
    kept = lines[:_MAX_TITLE_LINES]
    return kept if len(lines) == len(kept) else [*kept[:-1], f"{kept[-1][: _MAX_TITLE_LINE - 1]}…"]


def result_chart(kind: str, columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Figure | None:
    """Draws the first column on the x axis and up to five number columns as series; None if there are none."""
    numbers = [place for place, column in enumerate(columns) if place > 0 and is_number(column.type)][:_MAX_SERIES]
    if not numbers or not rows:
        return None
    named = columns[0].type == "VARCHAR"
    short = _short_names([row[0] for row in rows if named and isinstance(row[0], str)])
    across = [short.get(row[0], row[0]) for row in rows]
    shape = (
        {"type": "bar"} if kind == "bar" else {"type": "scatter", "mode": "markers" if kind == "scatter" else "lines"}
    )
    data = [
        {
            **shape,
            "x": across,
            "y": [row[place] for row in rows],
            "name": label(columns[place].name),
            **({"hovertext": [label(row[0]) for row in rows]} if short else {}),
        }
        for place in numbers
    ]
    names = ", ".join(columns[place].name for place in numbers)
    axis = {"title": {"text": label(columns[0].name)}, "automargin": True}
    if named:
        axis["type"] = "category"  # otherwise Plotly reads texts such as "1-2" as dates
    return figure(f"{names} by {columns[0].name}", data, xaxis=axis, yaxis={"automargin": True})


def _short_names(values: Sequence[str]) -> dict[str, str]:
    """Returns a label for each value, short enough to stand below a chart."""
    whole = list(dict.fromkeys(values))
    return dict(zip(whole, _distinct([label(shortened(value, _MAX_NAME)) for value in whole]), strict=True))


def missing_chart(columns: Sequence[tuple[str, float]]) -> Figure:
    """`columns` are names with their share of missing cells in percent, the largest first."""
    names = [label(name) for name, _ in columns][::-1]
    bars = {"type": "bar", "orientation": "h", "x": [round(share, 2) for _, share in columns][::-1]}
    data = [{**bars, "y": _distinct(names), "marker": {"color": _COLOR}}]
    axis = {"title": {"text": "% of rows"}, "rangemode": "tozero"}
    names_axis = {"automargin": True, "type": "category"}
    return figure("Missing cells", data, height=160 + 28 * len(names), xaxis=axis, yaxis=names_axis)


def grid(title: str, panels: Sequence[tuple[str, dict[str, Any]]], across: int = 2) -> Figure:
    """Arranges small charts in a grid, each a trace with its own heading, of one line or two, and axes. More than two
    across, or two with names beside their bars, would overlap on a phone."""
    down = (len(panels) + across - 1) // across
    data: list[dict[str, Any]] = []
    layout: Figure = {}
    notes: list[dict[str, Any]] = []
    for index, (heading, trace) in enumerate(panels):
        suffix = "" if index == 0 else str(index + 1)
        left, top = (index % across) / across, 1 - (index // across) / down
        width, height = 1 / across - (0.1 if across > 1 else 0), 1 / down - 0.28 / down
        data.append({**trace, "xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "showlegend": False})
        named = trace.get("orientation") == "h"
        layout[f"xaxis{suffix}"] = {"domain": [left, left + width], "anchor": f"y{suffix}"}
        category: Figure = {"type": "category", "automargin": True} if named else {}
        bottom = max(0.0, top - 0.08 / down - height)
        layout[f"yaxis{suffix}"] = {"domain": [bottom, bottom + height], "anchor": f"x{suffix}", **category}
        place: dict[str, Any] = {
            "x": left if across > 1 else 0.5,
            "xanchor": "left" if across > 1 else "center",
            "y": bottom + height,
            "xref": "paper",
            "yref": "paper",
            "yanchor": "bottom",
        }
        name, _, note = heading.partition("\n")
        text = label(shortened(name, _MAX_TITLE_LINE // across)) + (f"<br>{label(note)}" if note else "")
        notes.append({**place, "text": text, "showarrow": False, "font": {"size": 10 if across > 1 else 12}})
    drawn = figure(title, data, annotations=notes, height=120 + 240 * down, **layout)
    drawn["layout"]["margin"] |= {"l": 44, "t": 76}  # room for a heading of two lines
    return drawn


def histogram(edges: Sequence[float], counts: Sequence[int]) -> dict[str, Any]:
    """Returns a trace. `edges` has one element more than `counts`."""
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    widths = [high - low for low, high in pairwise(edges)]
    return {"type": "bar", "x": middles, "y": list(counts), "width": widths, "marker": {"color": _COLOR}}


def ranking(values: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """Returns a trace of values and their counts, the most frequent at the top."""
    names = _distinct([label(shortened(str(value), _MAX_NAME)) for value, _ in values][::-1])
    whole = [label(value) for value, _ in values][::-1]
    counts = [count for _, count in values][::-1]
    bars = {"type": "bar", "orientation": "h", "x": counts, "y": names, "hovertext": whole}
    return {**bars, "marker": {"color": _COLOR}}


def correlation_chart(names: Sequence[str], matrix: Sequence[Sequence[float | None]]) -> Figure:
    labels = _distinct([label(name) for name in names])
    cells = {"z": [list(row) for row in matrix], "x": labels, "y": labels, "zmin": -1, "zmax": 1}
    data = [{"type": "heatmap", "colorscale": "RdBu", "reversescale": True, **cells}]
    axes = {"automargin": True, "type": "category"}
    return figure("Correlations (Pearson's r)", data, xaxis=axes, yaxis={**axes, "autorange": "reversed"})


def timeline(unit: str, places: Sequence[str], series: Sequence[tuple[str, Sequence[float | int | None]]]) -> Figure:
    """Draws series over time, one below the other. `unit` is hour, day, week, month or year."""
    data: list[dict[str, Any]] = []
    layout: Figure = {}
    height = 1 / len(series)
    for index, (name, values) in enumerate(series):
        suffix = "" if index == 0 else str(index + 1)
        line = {"type": "scatter", "mode": "lines", "x": list(places), "y": list(values), "name": label(name)}
        data.append({**line, "yaxis": f"y{suffix}"})
        low = 1 - (index + 1) * height
        layout[f"yaxis{suffix}"] = {
            "domain": [max(0.0, low + 0.05 * height), low + height * 0.95],
            "title": {"text": label(name)},
            "automargin": True,
        }
    layout["xaxis"] = {"anchor": f"y{len(series)}" if len(series) > 1 else "y"}
    return figure(f"By {unit}", data, height=140 + 180 * len(series), showlegend=False, **layout)


def _distinct(labels: list[str]) -> list[str]:
    """Makes labels unique: shortened labels may be equal, and Plotly would draw them in the same place."""
    seen: dict[str, int] = {}
    result = []
    for text in labels:
        seen[text] = seen.get(text, 0) + 1
        result.append(text if seen[text] == 1 else f"{text} ({seen[text]})")
    return result
