"""The tool that asks the model a question about every row of a table."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field

from toolkit import AsyncToolContext, ToolError, ToolIncomplete, UploadedFile, tool
from tools.mapping import Answers, Asking, Budget, Template, added_columns
from tools.tables import Cell, read_rows, write_csv, write_parquet
from tools.tables import Rows as TableRows

MAX_ROWS = 100_000
SHOWN_CHARACTERS = 500
"""Maximum for a cell in the preview."""
PROMPTS = 5
"""Rows that are shown where no model is connected."""
EXAMPLES = 5
"""Number of answers that the chat's model reads."""

Rows = Sequence[Mapping[str, Cell]]


@dataclass(frozen=True, kw_only=True)
class Enriched:
    """The new table. Its cells can be read only once."""

    columns: list[str]
    cells: Iterable[list[Cell]]


@dataclass(frozen=True, kw_only=True)
class Questions:
    """The rows to ask, and where their answers go."""

    read: TableRows
    rows: Rows
    added: list[str]
    """The names of the columns with answer, status and tokens."""
    template: Template

    @classmethod
    async def of(
        cls, ctx: AsyncToolContext, table: UploadedFile, prompt: str, output_column: str, preview_rows: int | None
    ) -> Questions:
        """Raises ToolError when the table or the prompt cannot be used."""
        read = await asyncio.to_thread(read_rows, table, folder=ctx.scratch, max_rows=MAX_ROWS)
        if not read.rows:
            raise ToolError(f"{table.name} has no rows: there is nothing to ask.")
        return cls(
            read=read,
            rows=read.rows[:preview_rows],
            added=added_columns(read.columns, output_column.strip() or "answer"),
            template=Template.parse(prompt, read.columns),
        )

    def enriched(self, answers: Answers) -> Enriched:
        columns = self.read.columns
        return Enriched(columns=[*columns, *self.added], cells=answers.enriched(self.rows, columns))


async def save_answered(
    ctx: AsyncToolContext,
    table: UploadedFile,
    prompt: str,
    output_column: str,
    concurrency: int,
    preview_rows: int | None,
    output: Literal["csv", "parquet"],
) -> None:
    """Save the table with the answers that there are when the call is stopped."""
    questions = await Questions.of(ctx, table, prompt, output_column, preview_rows)
    budget = Budget(concurrency=concurrency, retries=0, max_tokens=None)
    asking = Asking(ctx, questions.template, questions.rows, budget, source=table.id, told=lambda _: None)
    answers = await asking.run()
    if answers.counts["done"]:
        saved = await _save(ctx, questions.enriched(answers), table, output, preview=preview_rows is not None)
        ctx.log("info", f"{answers.counts['done']:,} of {answers.total:,} rows have an answer, in {saved}")


@tool(partial=save_answered)
async def map_table(
    ctx: AsyncToolContext,
    table: UploadedFile,
    prompt: Annotated[str, Field(min_length=1, max_length=20_000)],
    output_column: Annotated[str, Field(min_length=1, max_length=100)] = "answer",
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8,
    requests_per_minute: Annotated[float | None, Field(gt=0, le=1e6)] = None,
    tokens_per_minute: Annotated[float | None, Field(gt=0, le=1e9)] = None,
    retries: Annotated[int, Field(ge=0, le=10)] = 2,
    max_tokens_total: Annotated[int | None, Field(ge=1)] = None,
    preview_rows: Annotated[int | None, Field(ge=1, le=100)] = None,
    output: Literal["csv", "parquet"] = "csv",
) -> dict[str, Any]:
    """Ask the model a question about every row of a CSV, TSV, Parquet or XLSX table, and save the answers with it.

    Args:
        table: The table.
        prompt: The question, with columns in braces, such as "Is this review positive? {review}".
        output_column: The name of the column with the answers.
        concurrency: How many rows are asked at the same time.
        requests_per_minute: Maximum requests per minute.
        tokens_per_minute: Maximum tokens per minute.
        retries: How often a row is asked again when the model fails.
        max_tokens_total: The token budget. When it is used up, a retry with a larger one continues from there.
        preview_rows: Try the first N rows, and show their answers.
        output: The format of the saved file.
    """
    ctx.report_progress(0, None, f"Reading {table.name}")
    questions = await Questions.of(ctx, table, prompt, output_column, preview_rows)
    if ctx.offline:
        return await _show_prompts(ctx, questions, whole=preview_rows is None)
    await ctx.limit_rate(requests_per_minute, tokens_per_minute)
    asking = Asking(
        ctx,
        questions.template,
        questions.rows,
        Budget(concurrency=concurrency, retries=retries, max_tokens=max_tokens_total),
        source=table.id,
        told=lambda answers: _tell(ctx, answers),
    )
    _tell(ctx, asking.answers)
    answers = await asking.run()
    saved = await _save(ctx, questions.enriched(answers), table, output, preview=preview_rows is not None)
    result = _result(asking, saved, questions.read.remarks, preview=preview_rows is not None)
    if reason := _unfinished(asking, preview=preview_rows is not None):
        raise ToolIncomplete(reason, result)
    return result


async def _save(ctx: AsyncToolContext, enriched: Enriched, table: UploadedFile, output: str, *, preview: bool) -> str:
    """Saves the table as an artifact. Returns its name."""
    if preview:
        return await _save_preview(ctx, enriched)
    name = f"{PurePath(table.name).stem[:100]}-answers.{output}"
    write = write_parquet if name.endswith(".parquet") else write_csv
    await asyncio.to_thread(write, ctx.scratch / name, enriched.columns, enriched.cells)
    await ctx.save_artifact(name, ctx.scratch / name)
    return name


async def _show_prompts(ctx: AsyncToolContext, questions: Questions, *, whole: bool) -> dict[str, Any]:
    """Shows what a model would be asked. Returns the tool's value; raises ToolIncomplete if all rows were wanted."""
    rows = questions.rows[:PROMPTS]
    prompts: list[list[Cell]] = [[questions.template.fill(row)] for row in rows]
    await _save_preview(ctx, Enriched(columns=["prompt"], cells=prompts))
    shown = f"what a model would be asked about the first {len(rows)} of {len(questions.rows):,} rows"
    result = {
        "summary": f"No language model is connected, so no row has an answer. The table shows {shown}.",
        "rows": len(questions.rows),
        "done": 0,
        "file": "preview.table.json",
        "remarks": list(questions.read.remarks),
    }
    if whole:
        raise ToolIncomplete("no language model is connected; a retry with one asks all rows", result)
    return result


async def _save_preview(ctx: AsyncToolContext, enriched: Enriched) -> str:
    """Saves the table that the chat shows. Returns its name."""
    data = [[cell[:SHOWN_CHARACTERS] if isinstance(cell, str) else cell for cell in row] for row in enriched.cells]
    shown = {"columns": enriched.columns, "index": list(range(1, len(data) + 1)), "data": data}
    name = "preview.table.json"
    await ctx.save_artifact(name, json.dumps(shown).encode())
    return name


def _tell(ctx: AsyncToolContext, answers: Answers) -> None:
    counts = answers.counts
    asked = answers.total - counts["not_asked"]
    failed = f"{counts['failed']:,} failed, " if counts["failed"] else ""
    # Front ends show the rows before the message: "226 of 300".
    ctx.report_progress(asked, answers.total, f"{failed}{answers.tokens:,} tokens")


def _unfinished(asking: Asking, *, preview: bool) -> str:
    """Returns why the job is incomplete and may be retried; empty if it is complete."""
    answers = asking.answers
    counts = answers.counts
    of_all = f"{counts['done']:,} of {answers.total:,} rows are done"
    if asking.stopped:
        return f"{asking.stopped}; {of_all}"
    if counts["failed"] and not preview:
        return f"{counts['failed']:,} of {answers.total:,} rows failed; a retry asks only these"
    return ""


def _result(asking: Asking, saved: str, remarks: Sequence[str], *, preview: bool) -> dict[str, Any]:
    answers = asking.answers
    counts = answers.counts
    return {
        "summary": _summary(asking, saved, preview=preview),
        "rows": answers.total,
        **counts,
        "tokens": answers.tokens,
        "tokens_estimated": asking.estimated,
        "first_failure": answers.first_failure or None,
        "examples": answers.examples(EXAMPLES),
        "file": saved,
        "remarks": list(remarks),
    }


def _summary(asking: Asking, saved: str, *, preview: bool) -> str:
    """Returns the summary in Markdown."""
    answers = asking.answers
    counts = answers.counts
    which = "first rows" if preview else "rows"
    sentences = [f"**{counts['done']:,} of {answers.total:,} {which} have an answer**, in `{saved}`."]
    if counts["failed"]:
        sentences.append(f"{counts['failed']:,} failed, the first with: {answers.first_failure}")
    if counts["skipped"]:
        sentences.append(f"{counts['skipped']:,} were skipped because the columns in the prompt are empty.")
    if counts["not_asked"]:
        sentences.append(f"{counts['not_asked']:,} were not asked: {asking.stopped}.")
    counted = "about, estimated from the length of the texts" if asking.estimated else "sent and received"
    sentences.append(f"{answers.tokens:,} tokens ({counted}).")
    return " ".join(sentences)
