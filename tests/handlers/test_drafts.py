"""A command makes a draft; its form, sent any number of times, runs the tool once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from files import DirectoryFileStore
from handlers.commands import commands_of, split_command
from handlers.drafts import FILE_GONE, GONE, RETRIED, SENT_BEFORE, Drafts, UnknownCommand
from handlers.turns import Turns
from jobs import Job, JobStatus, WorkerRecord
from jobs.events import JobCompleted, JobFailedEvent
from tests.jobs.engine import Engine, anything, sqlite_engine, write

SAVE = {
    "name": "save",
    "description": "Save money.\n\nFor long.",
    "parameters": {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "years": {"type": "integer", "minimum": 1, "default": 3},
            "paper": {"anyOf": [{"type": "string", "format": "file-id"}, {"type": "null"}], "default": None},
        },
        "required": ["title"],
    },
}


@dataclass(kw_only=True)
class Desk:
    engine: Engine
    turns: Turns
    drafts: Drafts
    files: DirectoryFileStore

    async def command(self, text: str, *, files: tuple[str, ...] = (), key: str = "m1") -> Job:
        job = await self.drafts.open("save", text, user="ada", thread_id="t", files=files, model=None, key=key)
        assert job is not None
        return job

    async def newest(self) -> Job:
        [job] = await self.engine.client.thread_jobs("t")
        return job


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    files = DirectoryFileStore(tmp_path / "files")
    async with sqlite_engine(tmp_path) as engine:
        await engine.store.register_worker(
            WorkerRecord(id="w1", beat=0, stopped=False, tasks=("save",), catalogue=(SAVE,))
        )
        turns = Turns(engine.client, files)
        yield Desk(
            engine=engine, turns=turns, drafts=Drafts(engine.client, files, turns, patience_seconds=0), files=files
        )


async def test_a_command_is_a_draft_once_however_often_it_is_sent(desk: Desk) -> None:
    first, again = await desk.command("years=7 a house"), await desk.command("years=7 a house")
    assert first.id == again.id
    assert first.status is JobStatus.INCOMPLETE
    assert first.request.arguments == {"years": 7, "title": "a house"}
    [turn] = await desk.turns.of_thread("t")
    assert turn.form_is_open


async def test_an_open_form_outlives_server_and_worker(desk: Desk) -> None:
    await desk.command("a house")
    before = [turn.elements() for turn in await desk.turns.of_thread("t")]
    await desk.engine.store.remove_worker("w1")
    async with sqlite_engine(desk.engine.directory) as restarted:
        after = [turn.elements() for turn in await Turns(restarted.client, desk.files).of_thread("t")]
    assert after == before


async def test_a_form_follows_its_tool(desk: Desk) -> None:
    await desk.command("a house")
    await desk.turns.of_thread("t")
    changed = {**SAVE, "description": "Save more money."}
    await desk.engine.store.register_worker(
        WorkerRecord(id="w1", beat=0, stopped=False, tasks=("save",), catalogue=(changed,))
    )
    [turn] = await desk.turns.of_thread("t")
    [form] = turn.elements()
    assert form["props"]["headline"] == "Save more money."


async def test_a_wrong_form_runs_nothing(desk: Desk) -> None:
    draft = await desk.command("")
    assert await desk.drafts.submit(draft.id, "ada", {"years": "0"}) == {
        "title": "This is required.",
        "years": "Must be at least 1.",
    }
    assert (await desk.newest()).id == draft.id


async def test_a_good_form_sent_by_two_tabs_at_once_runs_once(desk: Desk) -> None:
    draft = await desk.command("")
    sent = [desk.drafts.submit(draft.id, "ada", {"title": f"tab {n}"}) for n in range(4)]
    assert await asyncio.gather(*sent) == [{}] * 4
    job = await desk.newest()
    assert (job.retry_of, job.status) == (draft.id, JobStatus.QUEUED)
    assert job.request.arguments in [{"title": f"tab {n}"} for n in range(4)]
    assert len(await desk.engine.store.thread_jobs(str(job.thread_id))) == 1


async def test_a_form_that_was_sent_long_ago_does_not_run_again_when_its_job_has_failed(desk: Desk) -> None:
    draft = await desk.command("")
    await desk.drafts.submit(draft.id, "ada", {"title": "one"})
    claimed = await desk.engine.store.claim("w1", anything(tasks=("save",)))
    assert claimed is not None
    failed = JobFailedEvent(error={"code": "tool_failed", "message": "No."})
    await write(desk.engine.store, claimed.id, failed, epoch=claimed.epoch)
    assert await desk.drafts.submit(draft.id, "ada", {"title": "two"}) == {}
    assert (await desk.newest()).id == claimed.id
    assert await desk.drafts.submit(claimed.id, "ada", {"title": "three"}, again="later") == {}
    assert await desk.drafts.submit(claimed.id, "ada", {"title": "four"}, again="last") == {"": RETRIED}
    assert (await desk.newest()).request.arguments == {"title": "three"}


async def test_a_completed_jobs_form_begins_one_new_job_for_each_opening(desk: Desk) -> None:
    draft = await desk.command("")
    await desk.drafts.submit(draft.id, "ada", {"title": "one"})
    claimed = await desk.engine.store.claim("w1", anything(tasks=("save",)))
    assert claimed is not None
    await write(desk.engine.store, claimed.id, JobCompleted(result=1, usage=None), epoch=claimed.epoch)
    sent = [desk.drafts.submit(claimed.id, "ada", {"title": "two"}, again="first") for _ in range(3)]
    assert await asyncio.gather(*sent) == [{}] * 3
    assert await desk.drafts.submit(claimed.id, "ada", {"title": "three"}, again="first") == {"": SENT_BEFORE}
    assert await desk.drafts.submit(claimed.id, "ada", {"title": "three"}, again="second") == {}
    jobs = await desk.engine.store.thread_jobs("t")
    assert [job.request.arguments["title"] for job in jobs] == ["one", "two", "three"]
    assert all(job.retry_of is None for job in jobs[1:])


async def test_a_form_belongs_to_its_owner(desk: Desk) -> None:
    draft = await desk.command("")
    assert await desk.drafts.submit(draft.id, "bob", {"title": "x"}) == {"": GONE}
    assert await desk.drafts.submit("job_none", "ada", {"title": "x"}) == {"": GONE}


async def test_files_of_the_thread_can_be_chosen_and_others_can_not_be_given(desk: Desk, tmp_path: Path) -> None:
    source = tmp_path / "paper.txt"
    source.write_text("x")
    mine = await desk.files.save(name="paper.txt", mime="text/plain", owner="ada", source=source, limit_bytes=9)
    other = await desk.files.save(name="secret.txt", mime="text/plain", owner="bob", source=source, limit_bytes=9)
    await desk.command("first", files=(mine.id,))
    later = await desk.command("second", key="m2")
    turns = await desk.turns.of_thread("t")
    props = [element["props"] for element in turns[-1].elements() if element["type"] == "custom"]
    assert [file["name"] for file in props[0]["files"]] == ["paper.txt"]
    refused = await desk.drafts.submit(later.id, "ada", {"title": "x", "paper": other.id})
    assert refused == {"paper": FILE_GONE}
    assert await desk.drafts.submit(later.id, "ada", {"title": "x", "paper": mine.id}) == {}


async def test_an_unknown_command_is_a_sentence(desk: Desk) -> None:
    with pytest.raises(UnknownCommand, match=r"There is no command /nothing. There are: /save\."):
        await desk.drafts.open("nothing", "", user="ada", thread_id="t", files=(), model=None, key="m1")
    assert await desk.drafts.open(None, "just words", user="ada", thread_id="t", files=(), model=None, key="m1") is None


@pytest.mark.parametrize(
    ("chosen", "text", "command"),
    [
        ("save", "words", ("save", "words")),
        (None, "words", None),
        (None, "/save", ("save", "")),
        (None, "/save two\nlines ", ("save", "two\nlines")),
        (None, "/help", ("help", "")),
        (None, "/tmp is full", None),
        (None, "/etc/passwd", None),
        (None, "save /save", None),
        (None, "/", None),
    ],
)
def test_what_is_a_command(chosen: str | None, text: str, command: tuple[str, str] | None) -> None:
    assert split_command(chosen, text, ["save"]) == command


def test_the_list_shows_the_first_line_of_each_description() -> None:
    [command] = commands_of([{**SAVE, "description": "Save `money`."}])
    assert (command["id"], command["description"], command["icon"]) == ("save", "Save money.", "file-text")
