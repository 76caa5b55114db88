"""The analysis as one self-contained HTML page, which needs no network and no other file."""

import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files

from tools.tables.charts import Figure

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2433; background: #fff; margin: 0 auto; max-width: 1080px;
  padding: 24px; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
code { background: #eef1f6; border-radius: 3px; padding: 0 .25em; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .875rem; }
th, td { border-bottom: 1px solid #dde2ea; padding: .35rem .6rem; text-align: left; white-space: nowrap; }
td { max-width: 24rem; overflow: hidden; text-overflow: ellipsis; } .note { color: #5a6478; font-size: .875rem; }
"""
# The page may run its own scripts and load nothing; plotly.js creates its styles and pictures itself.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:"
)
_CODE, _AS_CODE = re.compile("`([^`]*)`"), r"<code>\1</code>"
_DRAW = """
for (const place of document.querySelectorAll('[data-figure]')) {
  const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
  Plotly.newPlot(place, figure.data, figure.layout, {responsive: true, displaylogo: false});
}
"""


def report(
    *,
    title: str,
    findings: Sequence[str],
    figures: Sequence[Figure],
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str],
) -> str:
    """`findings` are Markdown sentences whose only markup is code; `columns` and `rows` are the column overview."""
    drawn = "".join(f'<div data-figure="figure-{i}"></div>' for i in range(len(figures)))
    data = "".join(
        f'<script type="application/json" id="figure-{i}">{_embedded(figure)}</script>'
        for i, figure in enumerate(figures)
    )
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{html.escape(title)}</h1><h2>Findings</h2><ul>{_items(findings)}</ul>",
            f"<h2>Charts</h2>{drawn}" if figures else "",
            f'<h2>Columns</h2><div class="wide"><table><thead><tr>{heads}</tr></thead>',
            f"<tbody>{body}</tbody></table></div>",
            f'<h2>How it was measured</h2><ul class="note">{_items(notes)}</ul>',
            f"{data}<script>{_plotly()}</script><script>{_DRAW}</script>" if figures else "",
            "</body></html>\n",
        ]
    )


def _items(sentences: Sequence[str]) -> str:
    return "".join(f"<li>{_CODE.sub(_AS_CODE, html.escape(one))}</li>" for one in sentences)


def _plotly() -> str:
    """Returns the JavaScript that the plotly package includes."""
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _embedded(figure: Figure) -> str:
    """Returns JSON for a script element, with `<` escaped so that it cannot end the element."""
    return json.dumps(figure, ensure_ascii=True).replace("<", "\\u003c")
