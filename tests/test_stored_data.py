"""What an older version stored, this one opens and goes on with: a data dir of that version, served by this code."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.conftest import model_environment
from tests.endpoint import Endpoint
from tests.fixtures.make_data_dir import ROWS, Job, Notes, Person, digest_of, known_people, noted_job, people
from tests.server import ROOT, Server
from tests.waiting import until

STORED = Path(__file__).parent / "fixtures" / "data_dcfe9e4"
SOON = 30

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, kw_only=True)
class Served:
    """The old data dir behind a server of today, with what its README and `expected.json` say of it."""

    endpoint: Endpoint
    expected: Notes
    ada: Person
    bob: Person

    def owner(self, name: str) -> Person:
        return self.bob if name in {"bobs_turn", "response", "alone"} else self.ada

    def id(self, name: str) -> str:
        job_id: str = (self.expected["finished"] | self.expected["running"])[name]["id"]
        return job_id

    def asked(self, name: str) -> list[int]:
        """The turns in which the model of today was asked by the job."""
        return [request.turn for request in self.endpoint.requests(self.expected["running"][name]["input"])]

    async def resumed(self, name: str) -> tuple[Job, list[Any]]:
        """A job that was under way, and its log, when it has ended."""
        job = await self.owner(name).ended({"id": self.id(name)})
        return job, await self.owner(name).log(job)

    async def thread(self, thread_id: str) -> Any:
        """As the page gets it."""
        return (await self.ada.browser.get(f"/project/thread/{thread_id}")).raise_for_status().json()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("stored")
    with tarfile.open(STORED / "data.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    expected = json.loads((STORED / "expected.json").read_text())
    with Endpoint() as endpoint:
        await open_holds(endpoint, expected)
        server = Server(folder, model_environment(endpoint) | known_people(folder))
        try:
            await server.start()
            async with people(server) as (ada, bob):
                yield Served(endpoint=endpoint, expected=expected, ada=ada, bob=bob)
        finally:
            server.stop()
        server.check_log()


async def open_holds(endpoint: Endpoint, expected: Notes) -> None:
    """The model of today keeps nobody waiting, and has had the fault that broke the failed turn."""
    for text in [*(expected["running"][name]["input"] for name in ("streaming", "wished")), *ROWS]:
        endpoint.release(text)
    call = {"id": "call_0_0", "type": "function", "function": {"name": "draw", "arguments": "{}"}}
    question, calling = {"role": "user", "content": expected["broken"]}, {"role": "assistant", "tool_calls": [call]}
    async with httpx.AsyncClient() as http:
        await http.post(f"{endpoint.url}/chat/completions", json={"messages": [question, calling]})


# --- what had ended ------------------------------------------------------------------------------------------------


async def test_every_ended_job_reads_as_it_did(served: Served) -> None:
    for name, expected in served.expected["finished"].items():
        owner = served.owner(name)
        assert await noted_job(owner, await owner.get(expected["id"])) == expected, name


async def test_the_threads_are_listed_with_their_titles(served: Served) -> None:
    assert await listed(served.ada) == served.expected["threads"]
    assert list(await listed(served.bob)) == ["bobs-own"]


async def listed(person: Person, **filters: str) -> dict[str, str]:
    page = {"pagination": {"first": 100}, "filter": filters}
    answer = await person.browser.post("/project/threads", json=page)
    return {thread["id"]: thread["name"] for thread in answer.raise_for_status().json()["data"]}


@pytest.mark.parametrize(
    ("words", "job"),
    [("Papers on the inc", "asking"), ("Which signal lamp", "asking"), ("lamp4", "asking"), ("c8 c9", "cancelled")],
)
async def test_search_finds_titles_questions_and_answers(served: Served, words: str, job: str) -> None:
    assert list(await listed(served.ada, search=words)) == [served.expected["finished"][job]["thread_id"]]


async def test_a_thread_opens_with_its_words_and_the_thumb(served: Served) -> None:
    asking, indexing = (served.expected["finished"][name] for name in ("asking", "indexing"))
    thread = await served.thread(asking["thread_id"])
    asked, *_ = messages(thread, "user_message")
    assert asked.startswith("Read these. call index_documents {}")
    said = [*indexing["result"]["text"].split("\n\n"), asking["result"]["text"]]
    assert [words for words in said if messages(thread, "assistant_message").count(words) != 1] == []
    thumbs = [step["feedback"] for step in thread["steps"] if step.get("feedback")]
    given = served.expected["feedback"]
    assert [{name: thumb[name] for name in ("forId", "value", "comment")} for thumb in thumbs] == [
        {name: given[name] for name in ("forId", "value", "comment")}
    ]


async def test_a_thread_shows_the_newest_of_each_chain_of_retries(served: Served) -> None:
    thread, finished = await served.thread("chains"), served.expected["finished"]
    shown = messages(thread, "assistant_message")
    assert shown.count(finished["chain_3"]["result"]) == 1
    assert shown.count(finished["turn_2"]["result"]["text"]) == 1
    failures = {finished[name]["error"]["message"] for name in ("chain_1", "turn_1")}
    assert [step for step in thread["steps"] if any(failure in step["output"] for failure in failures)] == []


def messages(thread: Any, kind: str) -> list[str]:
    return [step["output"] for step in thread["steps"] if step["type"] == kind]


async def test_every_upload_opens_for_its_owner_alone(served: Served) -> None:
    for upload in served.expected["uploads"]:
        owner, other = (served.ada, served.bob) if upload["user"] == "ada" else (served.bob, served.ada)
        content = (await owner.browser.get(f"/project/file/{upload['id']}")).raise_for_status().content
        assert hashlib.sha256(content).hexdigest() == upload["sha256"], upload["name"]
        assert (await other.browser.get(f"/project/file/{upload['id']}")).status_code == 404


async def test_a_key_that_was_used_gives_the_job_it_gave(served: Served) -> None:
    keyed = served.expected["keyed"]
    assert (await served.ada.submit(key=keyed["key"], **keyed["request"]))["id"] == keyed["id"]


async def test_a_response_can_be_retrieved(served: Served) -> None:
    answer = await served.bob.api.get(f"/v1/responses/{served.expected['response']}")
    response = answer.raise_for_status().json()
    text = served.expected["finished"]["response"]["result"]["text"]
    assert (response["status"], response["output"][0]["content"][0]["text"]) == ("completed", text)


async def test_what_was_indexed_answers_its_owner_and_takes_in_more(served: Served) -> None:
    before = served.expected["finished"]["searching"]
    search = {"task": "search_documents", "arguments": {"query": "lighthouse signal"}}
    again = await served.ada.finish(thread_id=before["thread_id"], **search)
    assert again["result"] == before["result"]
    paper = await served.ada.upload(ROOT / "samples" / "source" / "committee-minutes.md")
    adding = {"task": "index_documents", "arguments": {"documents": [paper["id"]]}}
    added = await served.ada.finish(thread_id=before["thread_id"], **adding)
    assert added["result"]["documents_in_index"] == 3
    refused = await served.bob.api.post("/api/jobs", json={**search, "thread_id": before["thread_id"]})
    assert refused.status_code == 404
    elsewhere = await served.bob.finish(thread_id="bobs-own", **search)
    assert elsewhere["error"]["message"].startswith("Nothing is indexed in this conversation yet.")


# --- what was under way --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["streaming", "between", "mapping", "waiting", "alone"])
async def test_what_was_under_way_goes_on_in_its_own_log(served: Served, name: str) -> None:
    job, log = await served.resumed(name)
    before = served.expected["running"][name]
    assert job["status"] == "completed", job["error"]
    assert job["attempt"] == (1 if name in {"waiting", "alone"} else 2)
    assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
    assert digest_of(log[: before["last_seq"]]) == before["log"]


async def test_text_that_broke_off_is_withdrawn_and_written_again(served: Served) -> None:
    job, log = await served.resumed("streaming")
    words = "".join(f"m{number} " for number in range(30))
    started, again = [event["seq"] for event in log if event["type"] == "step.started"]
    said = [(event["seq"], event["text"]) for event in log if event["type"] == "text.delta"]
    assert "".join(text for seq, text in said if seq < again) == words[: words.index("m15 ")]
    assert "".join(text for seq, text in said if seq > again) == words == job["result"]["text"]
    assert served.asked("streaming") == [0]
    answers = [step["output"] for step in (await served.thread("lanes"))["steps"]]
    assert answers.count(words) == 1
    assert started < again


async def test_a_turn_killed_behind_its_tool_asks_for_the_next_step_alone(served: Served) -> None:
    job, log = await served.resumed("between")
    assert [event["step"] for event in log if event["type"] == "step.started"] == [
        "model:1",
        "model:1/call:0",
        "model:2",
    ]
    assert served.asked("between") == [1]
    words = "".join(f"k{number} " for number in range(8))
    assert job["result"]["text"] == f's0 s1 s2 \n\nThe tool answered: {{"summary": "Drawn."}} {words}'
    assert [made["name"] for made in job["artifacts"]] == ["kept.plotly.json", "kept.table.json", "kept.csv"]
    drawn = await served.ada.api.get(f"/api/jobs/{job['id']}/artifacts/kept.csv")
    assert drawn.raise_for_status().text == "word,count\nword0,0\n"


async def test_a_map_asks_for_the_rows_that_were_not_done(served: Served) -> None:
    job, _ = await served.resumed("mapping")
    asked = Counter(request.script for request in served.endpoint.requests() if request.script in ROWS)
    assert asked == dict.fromkeys(ROWS[4:], 1)
    made = await served.ada.api.get(f"/api/jobs/{job['id']}/artifacts/rows-answers.csv")
    answers = [line.split(",")[1] for line in made.raise_for_status().text.splitlines()]
    assert answers == ["answer", *(f"r{number}x0" for number in range(1, 9))]


async def test_a_wish_to_stop_that_nobody_obeyed_is_obeyed(served: Served) -> None:
    job, log = await served.resumed("wished")
    before = served.expected["running"]["wished"]
    assert job["status"] == "cancelled"
    assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
    assert digest_of(log[: before["last_seq"]]) == before["log"]
    assert served.asked("wished") == []


async def test_a_turn_that_waited_runs_behind_the_one_before_it(served: Served) -> None:
    (_, before), (job, log) = await served.resumed("streaming"), await served.resumed("waiting")
    assert job["result"]["text"] == "q0 q1 q2 q3 q4 q5 "
    assert before[-1]["at"] <= next(event["at"] for event in log if event["type"] == "job.started")


async def test_a_thread_whose_deletion_was_wished_goes(served: Served) -> None:
    async def gone() -> bool:
        return (await served.ada.api.get(f"/api/jobs/{served.id('deleted')}")).status_code == 404

    await until(gone, within=SOON, what="the job of the deleted thread is gone")


# --- what people do about it ---------------------------------------------------------------------------------------


async def test_a_failed_turn_is_retried_from_its_finished_steps(served: Served) -> None:
    retried = await served.ada.retry(served.expected["finished"]["failed"])
    words = "".join(f"b{number} " for number in range(9))
    assert retried["retry_of"] == served.id("failed")
    assert retried["result"]["text"] == f'The tool answered: {{"summary": "Drawn."}} {words}'
    kept = await served.ada.api.get(f"/api/jobs/{retried['id']}/artifacts/chart.csv")
    assert kept.raise_for_status().text == "word,count\nword0,0\n"
    asked = [request.turn for request in served.endpoint.requests(served.expected["broken"])]
    assert asked == [1, 1], "the first is this test's own; the answer before the tool was asked for again"


async def test_a_form_that_waited_can_be_sent(served: Served) -> None:
    sent = await served.ada.retry(served.expected["finished"]["draft"], {"title": "Harbour", "years": 7})
    assert sent["result"] == "Harbour: 7, 0.5, short, None, None, False, None, [], None"
    assert sent["thread_id"] == served.expected["finished"]["draft"]["thread_id"]
