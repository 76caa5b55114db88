"""The tool in a real tool host, with a function in the model's place."""

import asyncio
import csv
import io
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
import pytest_asyncio

from tests.toolkit.recording import ORIGIN, RecordingHandler
from toolkit.errors import ToolArgumentsInvalid, ToolError, ToolIncomplete
from toolkit.handler import Completed
from toolkit.pool import HostPool

TOOLS = Path(__file__).parents[2] / "tools"
on_one_loop = pytest.mark.asyncio(loop_scope="module")


class ModelFailed(Exception):
    """What the worker tells a tool whose model call failed."""


class Worker(RecordingHandler):
    """A job's worker: it records the model's answers and its failures, and replays both."""

    def __init__(self, folder: Path, model: Callable[[str], str] = str.upper, *, tokens: int | None = 10) -> None:
        super().__init__(folder)
        self.model = model
        self.tokens = tokens  # of each answer
        self.asked: list[str] = []
        self.failed: dict[str, str] = {}
        self.seconds = 0.0  # that the model takes
        self.running = self.most_running = 0

    async def complete(self, path: str, instruction: str, material: str) -> Completed:
        if path in self.failed:
            raise ModelFailed(self.failed[path])
        if path not in self.finished:
            self.finished[path] = await self._ask(path, material)
        sent = None if self.tokens is None else self.tokens - 1
        return Completed(text=self.finished[path], input_tokens=sent, output_tokens=None if sent is None else 1)

    async def _ask(self, path: str, material: str) -> str:
        self.asked.append(material)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.seconds)
            return self.model(material)
        except ModelFailed as failure:
            self.failed[path] = str(failure)
            raise
        finally:
            self.running -= 1

    def retried(self) -> "Worker":
        """The worker of a retry: what was finished is there, failures are not."""
        assert self.folder is not None
        again = Worker(self.folder, self.model, tokens=self.tokens)
        again.finished = dict(self.finished)
        return again

    def taken_over(self) -> "Worker":
        """The worker that goes on with the same job after a crash: failures are recorded as well."""
        again = self.retried()
        again.failed = dict(self.failed)
        return again

    def rows(self, name: str = "reviews-answers.csv") -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.artifacts[name][1].decode())))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[HostPool]:
    async with HostPool([TOOLS], spare_hosts=0) as pool:
        yield pool


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(reviews(tmp_path, 20))


def reviews(folder: Path, count: int) -> Path:
    lines = "".join(f"{number},review {number}\n" for number in range(1, count + 1))
    (folder / "reviews.csv").write_text(f"id,text\n{lines}")
    return folder


def table(folder: Path, text: str) -> Worker:
    (folder / "reviews.csv").write_text(text)
    return Worker(folder)


def never(*, failing: Callable[[str], bool], sentence: str = "The model is down.") -> Callable[[str], str]:
    """A model that fails on some prompts for ever."""

    def model(prompt: str) -> str:
        if failing(prompt):
            raise ModelFailed(sentence)
        return prompt.upper()

    return model


async def run(pool: HostPool, worker: Worker, prompt: str = "{text}", **arguments: Any) -> dict[str, Any]:
    given = {"table": "reviews.csv", "prompt": prompt, **arguments}
    result = await pool.call("map_table", given, ORIGIN, worker)
    assert isinstance(result, dict)
    return result


async def unfinished(pool: HostPool, worker: Worker, **arguments: Any) -> ToolIncomplete:
    with pytest.raises(ToolIncomplete) as caught:
        await run(pool, worker, **arguments)
    return caught.value


# -- rows


@on_one_loop
async def test_every_row_gets_its_answer_in_the_tables_order(pool: HostPool, worker: Worker) -> None:
    result = await run(pool, worker, "Shout: {text} of {id}", output_column="said")
    rows = worker.rows()
    assert list(rows[0]) == ["id", "text", "said", "status", "tokens"]
    assert [row["id"] for row in rows] == [str(number) for number in range(1, 21)]
    assert [row["said"] for row in rows] == [f"SHOUT: REVIEW {number} OF {number}" for number in range(1, 21)]
    assert {(row["status"], row["tokens"]) for row in rows} == {("done", "10")}
    assert (result["done"], result["failed"], result["tokens"]) == (20, 0, 200)
    assert result["examples"][:2] == [
        {"row": 1, "answer": "SHOUT: REVIEW 1 OF 1"},
        {"row": 2, "answer": "SHOUT: REVIEW 2 OF 2"},
    ]
    assert result["summary"].startswith("**20 of 20 rows have an answer**, in `reviews-answers.csv`.")
    assert worker.progresses[-1] == (20, 20, "200 tokens")


@on_one_loop
async def test_so_many_rows_are_asked_at_a_time_and_no_more(pool: HostPool, worker: Worker) -> None:
    worker.seconds = 0.02
    await run(pool, worker, concurrency=3)
    assert worker.most_running == 3


@on_one_loop
async def test_parquet_keeps_the_types_of_the_columns(pool: HostPool, worker: Worker, tmp_path: Path) -> None:
    await run(pool, worker, output="parquet")
    (tmp_path / "out.parquet").write_bytes(worker.artifacts["reviews-answers.parquet"][1])
    with duckdb.connect() as connection:
        first = connection.execute("SELECT * FROM read_parquet(?)", [str(tmp_path / "out.parquet")]).fetchall()[0]
    assert first == (1, "review 1", "REVIEW 1", "done", 10)


@on_one_loop
async def test_rows_with_nothing_to_ask_about_are_skipped(pool: HostPool, tmp_path: Path) -> None:
    worker = table(tmp_path, "id,text\n1,good\n2,\n3,  \n4,bad\n")
    result = await run(pool, worker)
    assert [row["status"] for row in worker.rows()] == ["done", "skipped: empty", "skipped: empty", "done"]
    assert sorted(worker.asked) == ["bad", "good"]
    assert "2 were skipped because the columns in the prompt are empty" in result["summary"]


@on_one_loop
async def test_an_answer_that_a_spreadsheet_would_run_is_defused(pool: HostPool, worker: Worker) -> None:
    worker.model = lambda _: '=HYPERLINK("http://evil")'
    await run(pool, worker)
    assert worker.rows()[0]["answer"] == '\'=HYPERLINK("http://evil")'


@on_one_loop
async def test_the_limits_of_the_call_reach_the_worker(pool: HostPool, worker: Worker) -> None:
    await run(pool, worker, requests_per_minute=6000, tokens_per_minute=1e6, preview_rows=1)
    assert worker.rates == [(6000, 1e6)]


@on_one_loop
async def test_tokens_that_nobody_counts_are_estimated_and_said_to_be(pool: HostPool, tmp_path: Path) -> None:
    result = await run(pool, Worker(reviews(tmp_path, 4), tokens=None))
    assert result["tokens"] > 4
    assert "tokens (about, estimated from the length of the texts)" in result["summary"]


# -- previews and other prompts


@on_one_loop
async def test_a_preview_asks_the_first_rows_and_shows_them(pool: HostPool, worker: Worker) -> None:
    result = await run(pool, worker, preview_rows=3)
    shown = json.loads(worker.artifacts["preview.table.json"][1])
    assert shown["columns"] == ["id", "text", "answer", "status", "tokens"]
    assert [row[2] for row in shown["data"]] == ["REVIEW 1", "REVIEW 2", "REVIEW 3"]
    assert list(worker.artifacts) == ["preview.table.json"]
    assert result["rows"] == len(worker.asked) == 3


@on_one_loop
@pytest.mark.parametrize("preview", [None, 3])
@on_one_loop
async def test_without_a_model_the_prompts_are_shown_and_no_answers_are_invented(
    pool: HostPool, worker: Worker, preview: int | None
) -> None:
    offline = replace(ORIGIN, offline=True)
    arguments = {"table": "reviews.csv", "prompt": "Good? {text}", "preview_rows": preview}
    if preview:
        result = await pool.call("map_table", arguments, offline, worker)
    else:
        with pytest.raises(ToolIncomplete, match="no language model is connected") as caught:
            await pool.call("map_table", arguments, offline, worker)
        result = caught.value.result
    assert result["summary"].startswith("No language model is connected, so no row has an answer.")
    shown = json.loads(worker.artifacts["preview.table.json"][1])
    assert shown["data"] == [[f"Good? review {number}"] for number in range(1, (preview or 5) + 1)]
    assert worker.asked == []


@on_one_loop
async def test_the_rows_of_a_preview_are_not_asked_again_but_another_prompt_asks_all(
    pool: HostPool, worker: Worker
) -> None:
    await run(pool, worker, preview_rows=3)
    whole = worker.retried()
    await run(pool, whole)
    assert len(whole.asked) == 17
    other = whole.retried()
    await run(pool, other, "Again: {text}")
    assert len(other.asked) == 20
    assert [row["answer"] for row in other.rows()] == [f"AGAIN: REVIEW {number}" for number in range(1, 21)]


# -- failures


@on_one_loop
async def test_a_row_that_fails_leaves_the_others_alone_and_a_retry_asks_it_again(
    pool: HostPool, worker: Worker
) -> None:
    worker.model = never(failing=lambda prompt: prompt == "review 7")
    end = await unfinished(pool, worker, retries=1)
    assert end.reason == "1 of 20 rows failed; a retry asks only these"
    assert end.result["first_failure"] == "The model is down."
    assert Counter(row["status"] for row in worker.rows()) == {"done": 19, "failed: The model is down.": 1}
    assert worker.rows()[6]["answer"] == ""
    assert worker.asked.count("review 7") == 2

    retry = worker.retried()
    retry.model = str.upper
    assert (await run(pool, retry, retries=1))["done"] == 20
    assert retry.asked == ["review 7"]


@on_one_loop
async def test_a_recorded_failure_is_asked_anew_as_long_as_there_are_retries(pool: HostPool, worker: Worker) -> None:
    faults = Counter({"review 7": 2})

    def moody(prompt: str) -> str:
        if faults[prompt] > 0:
            faults[prompt] -= 1
            raise ModelFailed("Not now.")
        return prompt.upper()

    worker.model = moody
    assert (await run(pool, worker, retries=2))["done"] == 20
    assert worker.asked.count("review 7") == 3


@on_one_loop
async def test_after_a_crash_a_failed_row_is_still_failed_and_nobody_is_asked(pool: HostPool, worker: Worker) -> None:
    worker.model = never(failing=lambda prompt: prompt == "review 7")
    await unfinished(pool, worker, retries=1)
    successor = worker.taken_over()
    await unfinished(pool, successor, retries=1)
    assert successor.asked == []
    assert successor.rows() == worker.rows()


@on_one_loop
async def test_when_everything_fails_from_the_start_the_job_fails_with_the_reason(
    pool: HostPool, tmp_path: Path
) -> None:
    refused = "The model endpoint refused the key. Check OPENAI_API_KEY and what it may use."
    worker = Worker(reviews(tmp_path, 1000), never(failing=lambda _: True, sentence=refused))
    with pytest.raises(ToolError) as caught:
        await run(pool, worker, concurrency=4, retries=0)
    assert str(caught.value) == refused
    assert not isinstance(caught.value, ToolIncomplete)
    assert len(worker.asked) <= 5 + 4
    assert worker.artifacts == {}


@on_one_loop
async def test_when_the_model_is_gone_midway_the_rest_is_not_tried_for_ever(pool: HostPool, tmp_path: Path) -> None:
    def gone(prompt: str) -> bool:
        return int(prompt.split()[1]) > 100

    worker = Worker(reviews(tmp_path, 1000), never(failing=gone))
    end = await unfinished(pool, worker, concurrency=4, retries=0)
    assert re.fullmatch(r"the last \d+ rows failed; 100 of 1,000 rows are done", end.reason)
    assert len(worker.asked) < 130
    statuses = Counter(row["status"] for row in worker.rows())
    assert statuses["done"] == 100
    assert statuses["not asked"] > 850
    assert len(worker.rows()) == 1000

    retry = worker.retried()
    retry.model = str.upper
    assert (await run(pool, retry, concurrency=4))["done"] == 1000
    assert len(retry.asked) == 900


# -- budget


@on_one_loop
async def test_a_spent_budget_ends_with_what_is_there_and_a_larger_one_goes_on(pool: HostPool, worker: Worker) -> None:
    end = await unfinished(pool, worker, max_tokens_total=95, concurrency=4)
    assert re.fullmatch(r"the budget of 95 tokens is used up; 1\d of 20 rows are done", end.reason)
    done = [row["id"] for row in worker.rows() if row["status"] == "done"]
    assert 10 <= len(done) == len(worker.asked) <= 13, "rows under way are finished, no further one begins"
    assert [row["id"] for row in worker.rows()] == [str(number) for number in range(1, 21)]
    assert {row["status"] for row in worker.rows()} == {"done", "not asked"}

    retry = worker.retried()
    result = await run(pool, retry, max_tokens_total=1000, concurrency=4)
    assert len(retry.asked) == 20 - len(done)
    assert (result["done"], result["tokens"]) == (20, 200)


@on_one_loop
async def test_a_retry_within_a_smaller_budget_keeps_every_answer(pool: HostPool, worker: Worker) -> None:
    worker.model = never(failing=lambda prompt: prompt == "review 3")
    await unfinished(pool, worker, max_tokens_total=95, concurrency=4, retries=0)
    retry = worker.retried()
    await unfinished(pool, retry, max_tokens_total=50, concurrency=4, retries=0)
    assert retry.asked in ([], ["review 3"])
    kept = [row["answer"] for row in retry.rows() if row["status"] == "done"]
    assert kept == [row["answer"] for row in worker.rows() if row["status"] == "done"]


@on_one_loop
async def test_a_budget_that_suffices_exactly_is_no_reason_to_stop(pool: HostPool, worker: Worker) -> None:
    assert (await run(pool, worker, max_tokens_total=200))["done"] == 20


@on_one_loop
async def test_recorded_rows_behind_a_failed_one_are_kept_though_the_budget_is_spent(
    pool: HostPool, worker: Worker
) -> None:
    worker.model = never(failing=lambda prompt: prompt == "review 2")
    await unfinished(pool, worker, retries=0)
    retry = worker.retried()
    end = await unfinished(pool, retry, max_tokens_total=10, concurrency=1, retries=0)
    assert end.reason == "the budget of 10 tokens is used up; 19 of 20 rows are done"
    assert retry.asked == []
    assert [row["status"] for row in retry.rows()] == ["done", "not asked", *["done"] * 18]


# -- what it refuses


@on_one_loop
@pytest.mark.parametrize(
    ("text", "arguments", "sentence"),
    [
        ("id,text\n", {}, "reviews.csv has no rows"),
        ("id,text\n1,a\n", {"prompt": "{stars}"}, "The table has no column 'stars'. Its columns are 'id', 'text'."),
        ("id,answer\n1,a\n", {"prompt": "{id}"}, "The table already has a column 'answer': choose another"),
        ("id,text\n1,a\n", {"concurrency": 65}, "The argument 'concurrency' is wrong: input should be less than"),
        ("id,text\n1,a\n", {"table": "nowhere.csv"}, "There is no file 'nowhere.csv'."),
    ],
)
async def test_what_cannot_be_done_is_said_before_anybody_is_asked(
    pool: HostPool, tmp_path: Path, text: str, arguments: dict[str, Any], sentence: str
) -> None:
    worker = table(tmp_path, text)
    with pytest.raises((ToolError, ToolArgumentsInvalid)) as caught:
        await run(pool, worker, **arguments)
    assert str(caught.value).startswith(sentence)
    assert worker.asked == []


@on_one_loop
async def test_a_prompt_that_is_too_long_fails_its_row_alone(pool: HostPool, tmp_path: Path) -> None:
    worker = table(tmp_path, "id,text\n" + f"1,{'x' * 100_001}\n" * 10 + "2,short\n")
    await unfinished(pool, worker)
    assert [row["status"] for row in worker.rows()] == [
        *["failed: The prompt of this row has 100,001 characters; at most 100,000 are sent."] * 10,
        "done",
    ]
