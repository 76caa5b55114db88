"""Draws the figures: bars of Longhaul and of the peer, as a self-contained SVG."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.figures import Row
from benchmarks.report import Report

WIDTH = 900
MARGIN = 32
LABELS, BARS, LONGEST, RATIOS = MARGIN, 190, 520, WIDTH - MARGIN
"""Where labels and bars begin, the longest bar, and where ratios end; the rest is for the values."""
BAR, GROUP, HEADING = 13, 40, 56
"""Heights of a bar, of a pair of bars with the gap after them, and of a panel's heading."""
OURS, PEER, BETTER, WORSE = "#2563eb", "#a3a9b5", "#15803d", "#b45309"
DOORS_AT = "50 × 20 tok/s"
"""The API's load that is drawn."""
STYLE = """
 text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: #374151 }
 .title { font-size: 22px; font-weight: 700; fill: #111827 }
 .panel { font-size: 15px; font-weight: 600; fill: #111827 }
 .note, .tick { font-size: 12px; fill: #6b7280 }
 .value { paint-order: stroke; stroke: #ffffff; stroke-width: 4px }
 .right { text-anchor: end }
 .middle { text-anchor: middle }
 .ratio { text-anchor: end; font-weight: 600 }
"""

Scale = Callable[[float], float]
"""Converts a value to a share of the longest bar."""


@dataclass(frozen=True, kw_only=True)
class Bars:
    """A pair of bars, Longhaul's above the peer's."""

    label: str
    ours: float
    peer: float
    ratio: float | None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The bars of one figure, on one scale."""

    title: str
    note: str
    unit: str
    names: tuple[str, str]
    bars: Sequence[Bars]
    logarithmic: bool = False


def picture(reports: Mapping[str, Report]) -> str:
    """Returns the SVG of these reports, by name."""
    parts, y = _head(), 92
    for panel in _panels(reports):
        parts += _panel(panel, y)
        y += _height(panel)
    parts.append(_text(MARGIN, y + 12, _foot(list(reports.values())), "note"))
    height = y + 34
    frame = f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" fill="#ffffff" stroke="#d1d5db"/>'
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        ' role="img" aria-label="What Longhaul costs beside its peers">'
    )
    return "\n".join([opening, f"<style>{STYLE}</style>", frame, *parts, "</svg>"]) + "\n"


def _panels(reports: Mapping[str, Report]) -> list[Panel]:
    panels = []
    if "sessions" in reports:
        panels += [
            _sessions(reports["sessions"], "Processor time per 1,000 tokens", "CPU per 1,000 tokens"),
            _sessions(reports["sessions"], "The slowest 1 % of tokens: delay, p99", "token delay, p99", log=True),
        ]
    if "api" in reports:
        panels.append(_doors(reports["api"]))
    return [panel for panel in panels if panel.bars]


def _sessions(report: Report, title: str, name: str, *, log: bool = False) -> Panel:
    rows = [row for row in report.rows if row.figure.name == name]
    return Panel(
        title=title,
        note="browser sessions × tokens per second of each" + ("; logarithmic" if log else ""),
        unit=rows[0].figure.unit if rows else "",
        names=(report.ours, report.peer),
        bars=[_bars(row, row.figure.load) for row in rows],
        logarithmic=log,
    )


def _doors(report: Report) -> Panel:
    """Returns the panel of the doors, without the shares of processes."""
    name = "CPU per 1,000 tokens: "
    rows = [row for row in report.rows if row.figure.name.startswith(name) and row.figure.load == DOORS_AT]
    return Panel(
        title="Processor time per 1,000 tokens of the API",
        note=f"{DOORS_AT} through each door",
        unit="s",
        names=(report.ours, report.peer),
        bars=[
            _bars(row, row.figure.name.removeprefix(name)) for row in rows if "," not in row.figure.name[len(name) :]
        ],
    )


def _bars(row: Row, label: str) -> Bars:
    return Bars(label=label, ours=statistics.median(row.ours), peer=statistics.median(row.peer), ratio=row.ratio)


def _head() -> list[str]:
    return [
        _text(MARGIN, 42, "What Longhaul costs beside its peers", "title"),
        _text(
            MARGIN,
            66,
            "Shorter is better. Longhaul stores every token before it is shown; the peers keep none.",
            "note",
        ),
    ]


def _foot(reports: Sequence[Report]) -> str:
    """Returns the footer from the first report: all are measured on one machine."""
    if not reports:
        return "Nothing is measured yet."
    report = reports[0]
    machine = report.machine
    runs = "one paired run" if report.pairs == 1 else f"medians of {report.pairs} paired runs"
    where = f"{machine['cores']} cores ({machine['processor']}), Python {machine['python']}"
    return f"{where}; {runs}. Ratio: Longhaul's value ÷ the peer's. All values: docs/benchmarks.md"


def _height(panel: Panel) -> int:
    return HEADING + GROUP * len(panel.bars) + (26 if panel.logarithmic else 14)


def _panel(panel: Panel, y: int) -> list[str]:
    top, bottom = y + HEADING, y + HEADING + GROUP * len(panel.bars)
    values = [value for bars in panel.bars for value in (bars.ours, bars.peer)]
    scale, ticks = _logarithmic(values) if panel.logarithmic else _linear(values)
    parts = [
        f'<line x1="{MARGIN}" y1="{y}" x2="{RATIOS}" y2="{y}" stroke="#e5e7eb"/>',
        _text(LABELS, y + 26, panel.title, "panel"),
        _text(LABELS, y + 42, panel.note, "note"),
        *_legend(panel.names, y + 26),
        *(part for tick in ticks for part in _tick(tick, scale(tick), panel.unit, top, bottom)),
    ]
    for number, bars in enumerate(panel.bars):
        parts += _group(bars, scale, panel.unit, top + number * GROUP)
    return parts


def _legend(names: tuple[str, str], y: int) -> list[str]:
    """Draws the legend, right-aligned, before the heading of the ratios."""
    parts = [_text(RATIOS, y, "ratio", "note right")]
    x = RATIOS - 60
    for name, colour in zip(reversed(names), (PEER, OURS), strict=True):
        x -= 8 * len(name)
        parts += [_rect(x - 18, y - 10, 12, colour, height=11), _text(x, y, name)]
        x -= 34
    return parts


def _linear(values: Sequence[float]) -> tuple[Scale, list[float]]:
    longest = max(values)
    return lambda value: value / longest, []


def _logarithmic(values: Sequence[float]) -> tuple[Scale, list[float]]:
    """Returns a scale from a power of ten that leaves the shortest bar visible, and its ticks."""
    low = math.floor(math.log10(min(values) * 0.7))
    high = max(math.log10(max(values)), low + 1)
    ticks = [10.0**power for power in range(low, math.floor(high) + 1)]
    return lambda value: (math.log10(value) - low) / (high - low), ticks


def _tick(value: float, share: float, unit: str, top: int, bottom: int) -> list[str]:
    x = BARS + share * LONGEST
    return [
        f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom - 6}" stroke="#e5e7eb"/>',
        _text(x, bottom + 8, f"{value:,g} {unit}", "tick middle"),
    ]


def _group(bars: Bars, scale: Scale, unit: str, y: int) -> list[str]:
    parts = [_text(LABELS, y + BAR + 6, bars.label)]
    for value, top, colour in ((bars.ours, y, OURS), (bars.peer, y + BAR + 2, PEER)):
        length = max(2.0, scale(value) * LONGEST)
        parts += [
            _rect(BARS, top, length, colour),
            _text(BARS + length + 6, top + 11, f"{_short(value)} {unit}", "value"),
        ]
    if bars.ratio is not None:
        colour = BETTER if bars.ratio < 1 else WORSE
        parts.append(_text(RATIOS, y + BAR + 6, f"{bars.ratio:.2f} ×", "ratio", fill=colour))
    return parts


def _short(value: float) -> str:
    """Formats a value with three digits, a large one with all."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def _rect(x: float, y: float, width: float, colour: str, *, height: int = BAR) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" rx="2" fill="{colour}"/>'


def _text(x: float, y: float, text: str, style: str = "", *, fill: str = "") -> str:
    styled = (f' class="{style}"' if style else "") + (f' style="fill: {fill}"' if fill else "")
    return f'<text x="{x:.1f}" y="{y}"{styled}>{escape(text)}</text>'
