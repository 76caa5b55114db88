"""Asks the rows, each as a step, until all are asked, the budget is spent, or every row fails."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit import AsyncToolContext, Completion, NotFinished, ToolError
from tools.mapping.answers import Answers, Row
from tools.mapping.template import Template
from tools.tables import Cell

INSTRUCTION = (
    "You fill one cell of a table. Do what the user asks about one row of it and answer with the content of the cell "
    "alone: no preamble, no repetition of the question, no Markdown unless it is asked for."
)
MAX_PROMPT_CHARACTERS = 100_000
"""Characters; about 25,000 tokens."""
CHARACTERS_PER_TOKEN = 4
"""Used when the model does not count tokens."""
EXTRA_SHARE = 0.25
"""Additional rows, as a share of the concurrency, that are started or recorded, because writing takes time."""
MIN_FAILURES = 5
"""If at least this many rows in succession fail, the cause is not in the rows."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The limits of one call."""

    concurrency: int
    retries: int
    """Maximum retries of one row."""
    max_tokens: int | None
    """Maximum for all rows together, including those of earlier runs."""


class _Refused(Exception):
    """The budget is spent, so the row is not asked."""


class _Failed(Exception):
    """The model did not answer this row in any attempt. The argument is the reason."""


class Asking:
    """Asks the rows of one call. An answered row is recorded under its number and a digest of prompt and table. Failed
    rows are not recorded, so that a retry asks them again."""

    def __init__(
        self,
        ctx: AsyncToolContext,
        template: Template,
        rows: Sequence[Mapping[str, Cell]],
        budget: Budget,
        *,
        source: str,  # identifies the table
        told: Callable[[Answers], None],  # called after each row
    ) -> None:
        self.answers = Answers(len(rows))
        self.stopped = ""
        """Why some rows were not asked, as a sentence without a full stop."""
        self.estimated = False
        """The tokens of some rows were estimated from characters, because the model did not count them."""
        self._ctx = ctx
        self._template = template
        self._rows = rows
        self._budget = budget
        self._told = told
        self._digest = hashlib.sha256("\0".join([source, *template.pieces]).encode()).hexdigest()[:8]
        self._slots = asyncio.Semaphore(budget.concurrency)
        self._waiting = iter(range(len(rows)))
        self._tokens = 0  # counted when the model answers, before the row is recorded and added
        self._replayed = False  # some rows were recorded by an earlier run
        self._refused = self._failed = self._missed = 0  # consecutive rows

    async def run(self) -> Answers:
        """Asks all rows; after Stop, reads back those that were asked.

        Raises ToolError when rows failed and none was answered.
        """
        workers = [asyncio.create_task(self._work()) for _ in range(min(self._at_work, len(self._rows)))]
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
            except NotFinished:
                self._missed += 1
                continue
            self._refused = self._missed = 0
            self.answers.add(number, row)
            self._told(self.answers)

    def _over(self) -> bool:
        """Whether to begin no further row; sets `stopped` to the reason."""
        if self._missed > self._patience + self._at_work:  # the stopped call has started none of the later rows
            return True
        if self._spent() and (not self._replayed or self._refused > self._patience):
            # Rows after a failed one may be recorded: those are read regardless of the budget.
            self.stopped = self._why_refused
            return True
        least = self._patience if self.answers.counts["done"] else MIN_FAILURES
        if self._failed >= least:
            self.stopped = f"the last {self._failed} rows failed"
            return True
        return False

    @property
    def _at_work(self) -> int:
        return self._budget.concurrency + math.ceil(EXTRA_SHARE * self._budget.concurrency)

    @property
    def _patience(self) -> int:
        return 2 * self._budget.concurrency + MIN_FAILURES

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
        if len(prompt) > MAX_PROMPT_CHARACTERS:
            long = f"The prompt of this row has {len(prompt):,} characters; at most {MAX_PROMPT_CHARACTERS:,} are sent."
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
            except ToolError as error:  # only the model's errors: failures of the step are not the row's
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
