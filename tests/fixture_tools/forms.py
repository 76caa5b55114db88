"""Tools with every kind of parameter, and with something to show."""

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from toolkit import ToolContext, ToolError, UploadedFile, tool

ROWS = 25
CHART = """
{"data": [{"type": "bar", "x": ["a", "b", "c"], "y": [1, 3, 2]}], "layout": {"title": {"text": "Three bars"}}}
"""
TABLE = (
    '{"columns": ["word", "count"], "index": '
    + str(list(range(ROWS)))
    + ', "data": ['
    + ", ".join(f'["word{n}", {n}]' for n in range(ROWS))
    + "]}"
)


@tool
def describe_all(
    ctx: ToolContext,
    title: str,
    years: Annotated[int, Field(ge=1, le=80, description="How long to save.")] = 30,
    rate: float = 0.5,
    style: Literal["short", "long"] = "short",
    begin: date | None = None,
    tags: list[str] | None = None,
    loud: bool = False,
    report: UploadedFile | None = None,
    papers: list[UploadedFile] | None = None,
    options: dict[str, int] | None = None,
    text: Annotated[str, Field(max_length=5000, description="What to say.")] = "",
) -> str:
    """Tell what was filled in.

    Every kind of field is here.
    """
    if title == "unlucky":
        raise ToolError("This title brings bad luck; choose another one.")
    names = [file.name for file in papers or []]
    given = [years, rate, style, begin, tags, loud, report and report.name, names, options]
    return f"{title}: {', '.join(map(str, given))}"


def must_be_even(number: int) -> int:
    if number % 2:
        raise ValueError("it must be even")
    return number


@tool
def halve(ctx: ToolContext, number: Annotated[int, AfterValidator(must_be_even)]) -> str:
    """Halve a number that must be even, which only the tool's own process can tell."""
    return f"The half is {number // 2}."


@tool
def draw(ctx: ToolContext, name: str = "chart") -> dict[str, str]:
    """Make a chart, a table and a file."""
    ctx.save_artifact(f"{name}.plotly.json", CHART.encode())
    ctx.save_artifact(f"{name}.table.json", TABLE.encode())
    ctx.save_artifact(f"{name}.csv", b"word,count\nword0,0\n")
    return {"summary": "Drawn."}
