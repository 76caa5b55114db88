"""Faults of a database server: answers that are lost, restarts, locks of a stopped process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs import JSON, JobContext, JobStatus, Step
from jobs.events import JobCompleted, TextDelta
from jobs.transcript import Transcript
from tests.jobs.engine import Engine, anything, chat, claim, is_gapless, opened_postgres, write
from tests.postgres import CommitEater, Pooler, PrivatePostgres, answers
from tests.waiting import until

ROOT = Path(__file__).parents[2]
SOON = 60.0
WORDS = [f"w{n} " for n in range(200)]
DONE = JobCompleted(result=None, usage=None)


async def talk(ctx: JobContext) -> JSON:
    async def speak(step: Step) -> JSON:
        for word in WORDS:
            step.text(word)
            await asyncio.sleep(0.01)
        return len(WORDS)

    return await ctx.step("model:1", speak, name="model", kind="model")


async def test_commits_whose_answers_are_lost_are_found_and_nothing_happens_twice(
    private_postgres: PrivatePostgres, short_path: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Of each job all four are lost: those of submit, claim, append and end."""
    jobs = 250 if pytestconfig.getoption("--thorough") else 3
    with CommitEater(private_postgres, short_path / "eater") as eater:
        async with opened_postgres(eater.url, tmp_path) as engine:
            store = engine.store
            for number in range(1, jobs + 1):
                eater.armed = True
                job = await store.submit(chat())
                eater.armed = True
                claimed = await claim(store)
                assert claimed is not None
                assert (claimed.id, claimed.epoch) == (job.id, 1)
                eater.armed = True
                await write(store, job.id, TextDelta(step="model:1", text="hello"))
                eater.armed = True
                await write(store, job.id, DONE)
                assert eater.eaten == 4 * number
                assert [event.type for event in await store.read(job.id, 0, 10)] == [
                    "job.queued",
                    "job.started",
                    "text.delta",
                    "job.completed",
                ]
            assert await store.claim("w2", anything()) is None
            assert await store.counts() == {("chat", JobStatus.COMPLETED): jobs}


async def test_an_outage_beyond_the_ttl_costs_no_word_asks_no_model_again_and_declares_nobody_dead(
    private_postgres: PrivatePostgres, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    async with (
        opened_postgres(private_postgres.url, tmp_path) as engine,
        engine.dispatcher(ttl_seconds=1),
        engine.working({"chat": talk}, ttl_seconds=1),
    ):
        job = await engine.client.submit(chat())
        following = asyncio.create_task(engine.log(job.id))
        await until(lambda: _words(engine, job.id, 20), within=SOON, what="the answer has begun")
        await asyncio.to_thread(private_postgres.stop, immediately=True)
        await asyncio.sleep(10 if pytestconfig.getoption("--thorough") else 2.5)
        await asyncio.to_thread(private_postgres.start)
        async with asyncio.timeout(SOON):
            seen = await following
        assert seen == await engine.store.read(job.id, 0, 1_000)
        beats = {worker.id: worker.beat for worker in await engine.store.workers()}
        await until(lambda: _beat_since(engine, beats), within=SOON, what="both hearts beat again")
        assert [worker.stopped for worker in await engine.store.workers()] == [False, False]
    assert is_gapless(seen)
    assert Transcript.of(seen).answer == "".join(WORDS)
    assert [event.type for event in seen].count("step.started") == 1


async def _beat_since(engine: Engine, beats: dict[str, int]) -> bool:
    return all(worker.beat > beats[worker.id] for worker in await engine.store.workers())


async def _words(engine: Engine, job_id: str, least: int) -> bool:
    return len(await engine.store.read(job_id, 0, 1_000)) > least


STOPPED_WRITER = """
import os, signal, sys, psycopg
from jobs.postgres import database
connection = psycopg.connect(sys.argv[1], autocommit=True)
connection.execute(database.BEGIN.format(idle=database.IDLE_SECONDS, lock=10) + database.RUN_ALONE)
connection.execute("SELECT * FROM jobs FOR UPDATE")
print("locked", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def _stopped_writer(url: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", STOPPED_WRITER, url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)


async def test_a_process_that_is_stopped_inside_a_write_holds_nobody_up_for_long(
    private_postgres: PrivatePostgres, tmp_path: Path
) -> None:
    async with opened_postgres(private_postgres.url, tmp_path) as engine:
        job = await engine.client.submit(chat())
        stopped = await asyncio.to_thread(_stopped_writer, private_postgres.url)
        try:
            assert stopped.stdout is not None
            await asyncio.to_thread(stopped.stdout.readline)
            begun = time.monotonic()
            claimed = await asyncio.wait_for(claim(engine.store), SOON)
            assert claimed is not None
            assert claimed.id == job.id
            assert time.monotonic() - begun > 0.5, "it held the lock"
        finally:
            os.kill(stopped.pid, signal.SIGKILL)
            stopped.communicate()


async def test_behind_a_pooler_two_processes_run_follow_and_stop_jobs(
    private_postgres: PrivatePostgres, short_path: Path, tmp_path: Path
) -> None:
    direct = private_postgres.url
    with Pooler(private_postgres, short_path / "pooler") as pooler:
        await until(lambda: answers(pooler.url), within=SOON, what="the pooler answers")
        async with (
            opened_postgres(pooler.url, tmp_path, listen_url=direct) as web,
            opened_postgres(pooler.url, tmp_path, listen_url=direct) as worker,
            worker.working({"chat": talk}),
        ):
            jobs = [await web.client.submit(chat(user=f"user {number}")) for number in range(8)]
            stopped = await web.client.submit(chat())
            await until(lambda: _words(web, stopped.id, 5), within=SOON, what="the answer has begun")
            await web.client.cancel(stopped.id, "ada")
            async with asyncio.timeout(SOON):
                logs = [await web.log(job.id, job.user) for job in jobs]
                ended = await web.log(stopped.id)
    for log in logs:
        assert is_gapless(log)
        assert Transcript.of(log).answer == "".join(WORDS)
    assert ended[-1].type == "job.cancelled"


async def test_text_that_postgres_refuses_is_stored_and_read_back_equal(
    private_postgres: PrivatePostgres, tmp_path: Path
) -> None:
    odd = ["NUL \0 inside", "half \ud83d character", "a \\u0000 that was typed", "x" * 5_000_000]
    async with opened_postgres(private_postgres.url, tmp_path) as engine:
        for text in odd:
            job = await engine.store.submit(chat(text, thread_id=f"t{len(text)}"))
            claimed = await claim(engine.store)
            assert claimed is not None
            assert claimed.request.input == text
            await write(engine.store, job.id, TextDelta(step="model:1", text=text), DONE, epoch=claimed.epoch)
            told = await engine.store.read(job.id, 2, 1)
            assert told[0].payload == TextDelta(step="model:1", text=text)
            assert (await engine.store.get(job.id)).status is JobStatus.COMPLETED
            assert await engine.store.threads("ada", search="typed", limit=10, before=None) is not None


@pytest.mark.parametrize("program", ["worker.py", "-muvicorn asgi:app"])
def test_a_database_that_cannot_be_reached_is_one_line_without_its_password(program: str, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": "postgresql://ada:hunter2@127.0.0.1:1/none",
        "LONGHAUL_DATA_DIR": str(tmp_path),
    }
    command = [sys.executable, *program.split()]
    ended = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=SOON, check=False
    )
    assert ended.returncode == 2
    assert "Connection refused" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert "hunter2" not in ended.stderr
