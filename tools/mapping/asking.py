"""The rows at work: each is a step, so many at a time, until all are asked, the budget is spent or all fails."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit import AsyncToolContext, Completion, ToolError
from tools.mapping.answers import Answers, Row
from tools.mapping.template import Template
from tools.tables import Cell

INSTRUCTION = (
    "You fill one cell of a table. Do what the user asks about one row of it and answer with the content of the cell "
    "alone: no preamble, no repetition of the question, no Markdown unless it is asked for."
)
LONGEST_PROMPT = 100_000
"""Characters; some 25,000 tokens."""
CHARACTERS_PER_TOKEN = 4
"""Where the model counts none."""
WAITING = 0.25
"""Rows beyond the concurrency, as a share of it, that are being begun or recorded: writing them down takes time."""
LEAST_FAILURES = 5
"""Of so many rows at least, when all fail, it is not the rows."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one call may use."""

    concurrency: int
    retries: int  # of one row
    max_tokens: int | None  # of all rows together, those of earlier runs included


class _Refused(Exception):
    """The budget is spent: the row is not begun."""


class _Failed(Exception):
    """The model gave no answer to this row, however often it was asked; the argument is why."""


class Asking:
    """One call's rows. A row that was answered is recorded under its number and what its answer depends on; one that
    failed is not, so that a retry asks it again."""

    def __init__(
        self,
        ctx: AsyncToolContext,
        template: Template,
        rows: Sequence[Mapping[str, Cell]],
        budget: Budget,
        *,
        source: str,  # what tells this prompt and table from others
        told: Callable[[Answers], None],  # called after each row
    ) -> None:
        self.answers = Answers(len(rows))
        self.stopped = ""
        """Why not all rows were asked, as a sentence without a full stop."""
        self.estimated = False
        """The model counted no tokens for some rows: they were estimated from the characters."""
        self._ctx = ctx
        self._template = template
        self._rows = rows
        self._budget = budget
        self._told = told
        self._digest = hashlib.sha256("\0".join([source, *template.pieces]).encode()).hexdigest()[:8]
        self._slots = asyncio.Semaphore(budget.concurrency)
        self._waiting = iter(range(len(rows)))
        self._tokens = 0  # counted when the model answers, which is before the row is recorded and added
        self._replayed = False  # this call has found rows of an earlier one
        self._refused = self._failed = 0  # rows in a row

    async def run(self) -> Answers:
        """Raises ToolError when the model answers nothing from the start."""
        at_work = self._budget.concurrency + math.ceil(WAITING * self._budget.concurrency)
        workers = [asyncio.create_task(self._work()) for _ in range(min(at_work, len(self._rows)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        counts = self.answers.counts
        if counts["failed"] and not counts["done"]:
            raise ToolError(self.answers.first_failure)
        return self.answers

    async def _work(self) -> None:
        for number in self._waiting:
            if self._over():
                return
            try:
                row = await self._row(number)
            except _Refused:
                self._refused += 1
                self.stopped = self._why_refused
                continue
            self._refused = 0
            self.answers.add(number, row)
            self._told(self.answers)

    def _over(self) -> bool:
        """No further row is begun."""
        if self._spent() and (not self._replayed or self._refused > self._patience):
            # Behind a row that failed there may be recorded ones: those are read whatever the budget.
            self.stopped = self._why_refused
            return True
        least = self._patience if self.answers.counts["done"] else LEAST_FAILURES
        if self._failed >= least:
            self.stopped = f"the last {self._failed} rows failed"
            return True
        return False

    @property
    def _patience(self) -> int:
        return 2 * self._budget.concurrency + LEAST_FAILURES

    @property
    def _why_refused(self) -> str:
        return f"the budget of {self._budget.max_tokens:,} tokens is used up"

    def _spent(self) -> bool:
        return self._budget.max_tokens is not None and self._tokens >= self._budget.max_tokens

    async def _row(self, number: int) -> Row:
        cells = self._rows[number]
        if self._template.has_nothing_of(cells):
            return Row(empty=True)
        prompt = self._template.fill(cells)
        if len(prompt) > LONGEST_PROMPT:
            long = f"The prompt of this row has {len(prompt):,} characters; at most {LONGEST_PROMPT:,} are sent."
            return Row(failure=long)
        asked = False

        async def ask() -> dict[str, Any]:
            nonlocal asked
            asked = True
            async with self._slots:
                return await self._ask(prompt)

        try:
            reply = await self._ctx.step(f"row {number + 1} ({self._digest})", ask)
        except _Failed as failure:
            self._failed += 1
            return Row(failure=str(failure))
        self._failed = 0
        if not asked:
            self._replayed = True
            self._tokens += reply["tokens"]
        self.estimated = self.estimated or reply["estimated"]
        return Row(answer=reply["answer"], tokens=reply["tokens"])

    async def _ask(self, prompt: str) -> dict[str, Any]:
        if self._spent():
            raise _Refused
        for attempt in range(self._budget.retries + 1):
            try:
                reply = await self._ctx.complete(INSTRUCTION, prompt)
            except ToolError as error:  # the model's: what goes wrong with the step itself is no matter of the row
                if attempt == self._budget.retries:
                    raise _Failed(str(error)) from error
            else:
                tokens = _tokens(prompt, reply)
                self._tokens += tokens
                return {"answer": reply.strip(), "tokens": tokens, "estimated": reply.input_tokens is None}
        raise AssertionError("unreachable")


def _tokens(prompt: str, reply: Completion) -> int:
    if reply.input_tokens is not None:
        return reply.input_tokens + (reply.output_tokens or 0)
    return math.ceil((len(INSTRUCTION) + len(prompt) + len(reply)) / CHARACTERS_PER_TOKEN)
