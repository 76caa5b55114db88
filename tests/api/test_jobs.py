"""The jobs API, as a program calls it: a real server, real HTTP."""

import asyncio
import random
from typing import Any

import httpx
import pytest

from tests.api.events import TERMINAL, follow, text_of
from tests.endpoint import Endpoint
from tests.server import Server
from tests.waiting import until

JOB_FIELDS = {
    "id", "task", "status", "thread_id", "user", "retry_of", "created_at", "started_at", "finished_at", "attempt",
    "last_seq", "title", "state", "doing", "progress", "eta_seconds", "queue_position", "starts_in_seconds", "result",
    "error", "artifacts", "usage",
}  # fmt: skip


async def submit(client: httpx.AsyncClient, text: str = "tokens=3", **fields: Any) -> dict[str, Any]:
    answer = await client.post("/api/jobs", json={"task": "chat", "input": text, **fields})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def run(client: httpx.AsyncClient, task: str, **arguments: Any) -> dict[str, Any]:
    answer = await client.post("/api/jobs", json={"task": task, "arguments": arguments})
    assert answer.status_code == 202, answer.text
    return await ended(client, answer.json()["id"])


async def ended(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    assert (await follow(client, job_id))[-1].name in TERMINAL
    job: dict[str, Any] = (await client.get(f"/api/jobs/{job_id}")).json()
    return job


async def test_a_job_is_accepted_with_its_place(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/api/jobs", json={"task": "chat", "input": "tokens=3"})
    assert answer.status_code == 202
    job = answer.json()
    assert set(job) == JOB_FIELDS
    assert answer.headers["location"] == f"/api/jobs/{job['id']}"
    assert (job["task"], job["user"], job["status"]) == ("chat", "ada", "queued")


async def test_a_completed_job_tells_result_and_usage(ada: httpx.AsyncClient) -> None:
    job = await ended(ada, (await submit(ada))["id"])
    assert (job["status"], job["result"], job["attempt"]) == ("completed", {"text": "w0 w1 w2 "}, 1)
    assert job["usage"]["output_tokens"] > 0
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]


async def test_events_are_numbered_without_gaps_and_say_so_three_times(ada: httpx.AsyncClient) -> None:
    events = await follow(ada, (await submit(ada))["id"])
    assert [event.id for event in events] == [str(number) for number in range(1, len(events) + 1)]
    assert [event.data["seq"] for event in events] == [int(event.id or 0) for event in events]
    assert all(event.data["type"] == event.name and event.data["at"] > 0 for event in events)
    assert [events[0].name, events[1].name, events[-1].name] == ["job.queued", "job.started", "job.completed"]


async def test_a_stream_of_events_may_be_kept_by_nobody_on_the_way(ada: httpx.AsyncClient) -> None:
    job = await submit(ada)
    async with ada.stream("GET", f"/api/jobs/{job['id']}/events") as response:
        headers = response.headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache, no-transform", "no")


async def test_any_cuts_leave_no_hole_and_double_nothing(ada: httpx.AsyncClient) -> None:
    chance = random.Random(4)

    async def followed(number: int) -> None:
        job = await submit(ada, f"tokens=40 rate=150 cut test {number}")
        got = await follow(ada, job["id"], at_most=chance.randint(1, 6))
        while got[-1].name not in TERMINAL:
            got += await follow(ada, job["id"], after=int(got[-1].id or 0), at_most=chance.randint(1, 12))
        assert [int(event.id or 0) for event in got] == list(range(1, len(got) + 1))
        assert text_of(got) == "".join(f"w{i} " for i in range(40))

    await asyncio.gather(*(followed(number) for number in range(20)))


async def test_fifty_followers_get_the_same_from_one_call_of_the_model(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    job = await submit(ada, "tokens=40 rate=80 fifty followers")
    logs = await asyncio.gather(*(follow(ada, job["id"]) for _ in range(50)))
    assert all(text_of(log) == "".join(f"w{i} " for i in range(40)) for log in logs)
    assert len(api_endpoint.requests("fifty followers")) == 1


async def test_the_header_wins_over_the_query(ada: httpx.AsyncClient) -> None:
    job = await ended(ada, (await submit(ada))["id"])
    path = f"/api/jobs/{job['id']}/events?after=1"
    assert (await ada.get(path)).text.startswith("id: 2\n")
    assert (await ada.get(path, headers={"Last-Event-ID": "3"})).text.startswith("id: 4\n")


@pytest.mark.parametrize("odd", ["abc", "-5", "1e3", "9" * 400, "%00", ""])
async def test_an_odd_place_to_begin_is_the_beginning(ada: httpx.AsyncClient, odd: str) -> None:
    job = await ended(ada, (await submit(ada))["id"])
    answer = await ada.get(f"/api/jobs/{job['id']}/events", headers={"Last-Event-ID": odd})
    assert answer.status_code == 200
    assert answer.text.startswith("id: 1\n")


async def test_who_is_ahead_of_a_finished_log_is_told_nothing_and_let_go(ada: httpx.AsyncClient) -> None:
    job = await ended(ada, (await submit(ada))["id"])
    assert (await ada.get(f"/api/jobs/{job['id']}/events?after=100000")).text == ""


async def test_a_silent_job_is_heard_to_live(ada: httpx.AsyncClient) -> None:
    job = await submit(ada, "tokens=1 delay=30")
    async with ada.stream("GET", f"/api/jobs/{job['id']}/events") as response:
        text = ""
        async for piece in response.aiter_text():
            text += piece
            if text.count(": ping\n\n") == 3:
                break
    assert (await ada.post(f"/api/jobs/{job['id']}/cancel")).status_code == 202


async def test_a_cancel_reaches_the_model_and_is_harmless_when_repeated(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    job = await submit(ada, "tokens=500 rate=20 cancel me")
    await follow(ada, job["id"], at_most=6)
    assert (await ada.post(f"/api/jobs/{job['id']}/cancel")).status_code == 202
    assert (await ended(ada, job["id"]))["status"] == "cancelled"
    [request] = api_endpoint.requests("cancel me")
    await until(lambda: request.disconnected_at is not None, within=30, what="the model's socket is closed")
    assert (await ada.post(f"/api/jobs/{job['id']}/cancel")).json()["status"] == "cancelled"


async def test_the_list_is_paged_newest_first(ada: httpx.AsyncClient) -> None:
    made = [(await submit(ada, thread_id=f"paged-{number % 2}"))["id"] for number in range(4)]
    page = (await ada.get("/api/jobs?limit=3")).json()
    assert ([job["id"] for job in page["data"]], page["has_more"]) == (made[:0:-1], True)
    older = (await ada.get(f"/api/jobs?limit=1&before={made[1]}")).json()["data"]
    assert older[0]["id"] == made[0]
    in_thread = (await ada.get("/api/jobs?thread_id=paged-1")).json()
    assert ([job["id"] for job in in_thread["data"]], in_thread["has_more"]) == ([made[3], made[1]], False)
    assert not (await ada.get("/api/jobs?task=map_table")).json()["data"]


async def test_the_same_key_submits_once_and_another_body_under_it_is_refused(ada: httpx.AsyncClient) -> None:
    body = {"task": "chat", "input": "tokens=1"}
    answers = [await ada.post("/api/jobs", json=body, headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    other = await ada.post("/api/jobs", json={**body, "input": "tokens=2"}, headers={"Idempotency-Key": "once"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "key_reused")


async def test_a_failed_job_says_why_and_is_retried_once(ada: httpx.AsyncClient) -> None:
    failed = await ended(ada, (await submit(ada, "status=401 times=1 tokens=2 retry me"))["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "model_auth")
    first = await ada.post(f"/api/jobs/{failed['id']}/retry")
    assert (first.status_code, first.json()["retry_of"]) == (202, failed["id"])
    done = await ended(ada, first.json()["id"])
    assert done["result"] == {"text": "w0 w1 "}
    again = await ada.post(f"/api/jobs/{done['id']}/retry")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")


async def test_a_tool_runs_with_its_arguments_and_what_it_made_is_downloaded(ada: httpx.AsyncClient) -> None:
    job = await run(ada, "simulate_portfolio", years=2, paths=1_000)
    assert job["status"] == "completed"
    assert job["progress"]["done"] == job["progress"]["total"]
    artifact = job["artifacts"][0]
    place = f"/api/jobs/{job['id']}/artifacts/{artifact['name']}"
    answer = await ada.get(place)
    assert (answer.status_code, len(answer.content)) == (200, artifact["size"])
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox"
    part = await ada.get(place, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, answer.content[:10])


async def test_a_retry_may_change_the_arguments(ada: httpx.AsyncClient) -> None:
    job = (await ada.post("/api/jobs", json={"task": "simulate_portfolio", "arguments": {"years": 60}})).json()
    await ada.post(f"/api/jobs/{job['id']}/cancel")
    assert (await ended(ada, job["id"]))["status"] == "cancelled"
    wrong = await ada.post(f"/api/jobs/{job['id']}/retry", json={"arguments": {"years": "many"}})
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (422, "arguments.years: Must be a whole number.")
    new = await ada.post(f"/api/jobs/{job['id']}/retry", json={"arguments": {"years": 1, "paths": 1_000}})
    assert (await ended(ada, new.json()["id"]))["status"] == "completed"


async def is_running(client: httpx.AsyncClient, job_id: str) -> bool:
    return bool((await client.get(f"/api/jobs/{job_id}")).json()["status"] == "in_progress")


async def test_a_deleted_job_is_gone_with_all_it_made(ada: httpx.AsyncClient, api_server: Server) -> None:
    running = await submit(ada, "tokens=500 rate=20")
    await until(lambda: is_running(ada, running["id"]), within=30, what="the job runs")
    refused = await ada.delete(f"/api/jobs/{running['id']}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    await ada.post(f"/api/jobs/{running['id']}/cancel")
    job = await run(ada, "simulate_portfolio", years=1, paths=1_000)
    artifacts = api_server.data_dir / "files" / "artifacts" / job["id"]
    assert artifacts.is_dir()
    assert (await ada.delete(f"/api/jobs/{job['id']}")).status_code == 204
    assert not artifacts.exists()
    for path in ("", "/events", f"/artifacts/{job['artifacts'][0]['name']}"):
        assert (await ada.get(f"/api/jobs/{job['id']}{path}")).status_code == 404


async def test_a_waiting_turn_is_edited_and_a_begun_one_is_not(ada: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    running = await submit(ada, "tokens=500 rate=20", thread_id="edited")
    await until(lambda: is_running(ada, running["id"]), within=30, what="the first turn runs")
    waiting = await submit(ada, "tokens=3 word=old", thread_id="edited")
    path = f"/api/jobs/{waiting['id']}"
    edited = await ada.patch(path, json={"input": "tokens=3 word=new"})
    assert (edited.status_code, edited.json()["title"]) == (200, "tokens=3 word=new")
    assert (await bob.patch(path, json={"input": "his"})).status_code == 404
    for wrong in ({"input": " "}, {}, {"input": 3}, {"input": "a", "files": []}):
        assert (await ada.patch(path, json=wrong)).status_code == 422
    refused = await ada.patch(f"/api/jobs/{running['id']}", json={"input": "late"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    await ada.post(f"/api/jobs/{running['id']}/cancel")
    job = await ended(ada, waiting["id"])
    assert job["result"] == {"text": "new0 new1 new2 "}
    kinds = [event.data["type"] for event in await follow(ada, waiting["id"])]
    assert kinds[:3] == ["job.queued", "job.edited", "job.started"]
    assert (await ada.patch(path, json={"input": "later"})).status_code == 409


async def test_the_job_of_a_tool_has_no_words_to_edit(ada: httpx.AsyncClient) -> None:
    job = await run(ada, "simulate_portfolio", years=1, paths=1_000)
    refused = await ada.patch(f"/api/jobs/{job['id']}", json={"input": "words"})
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        422,
        "input: the job of a tool has none.",
    )


async def test_other_peoples_things_are_not_found(ada: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    job = await run(ada, "simulate_portfolio", years=1, paths=1_000)
    chat = await submit(ada, thread_id="adas-own")
    file = (await ada.post("/api/files", files={"file": ("a.txt", b"hello")})).json()
    place = f"/api/jobs/{job['id']}"
    calls = [
        bob.get(place), bob.get(f"{place}/events"), bob.post(f"{place}/cancel"), bob.post(f"{place}/retry"),
        bob.delete(place), bob.get(f"{place}/artifacts/{job['artifacts'][0]['name']}"),
        bob.post("/api/jobs", json={"task": "chat", "input": "hello", "thread_id": "adas-own"}),
        bob.post("/api/jobs", json={"task": "chat", "input": "hello", "files": [file["id"]]}),
        bob.post("/api/jobs", json={"task": "analyze_table", "arguments": {"table": file["id"]}}),
    ]  # fmt: skip
    answers = await asyncio.gather(*calls)
    assert [answer.status_code for answer in answers] == [404] * len(calls), [answer.text for answer in answers]
    assert chat["id"] not in (await bob.get("/api/jobs?limit=100")).text


@pytest.mark.parametrize("prefix", ["job_", "file_"])
async def test_ids_of_jobs_and_files_are_no_thread_ids(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient, prefix: str
) -> None:
    hers = (await submit(ada))["id"]
    body = {"task": "search_documents", "arguments": {"query": "x"}, "thread_id": hers.replace("job_", prefix)}
    answer = await bob.post("/api/jobs", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
    assert answer.json()["error"]["message"].startswith("thread_id: ")


async def test_a_file_goes_with_the_last_job_that_came_with_it(ada: httpx.AsyncClient, api_server: Server) -> None:
    file = (await ada.post("/api/files", files={"file": ("a.csv", b"a\n1\n")})).json()["id"]
    first, second = [(await run(ada, "analyze_table", table=file))["id"] for _ in range(2)]
    content = api_server.data_dir / "files" / "uploads" / file / "content"
    assert (await ada.delete(f"/api/jobs/{first}")).status_code == 204
    assert content.is_file()
    assert (await ada.delete(f"/api/jobs/{second}")).status_code == 204
    assert not content.exists()


async def test_nobody_comes_in_without_a_key(stranger: httpx.AsyncClient) -> None:
    for path in ("/api/jobs", "/api/jobs/job_1/events", "/api/tools", "/v1/models"):
        answer = await stranger.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        wrong = await stranger.get(path, headers={"Authorization": "Bearer wrong"})
        assert wrong.status_code == 401
    assert (await stranger.get("/healthz")).status_code == 200


async def test_the_tools_are_listed_with_their_schemas(ada: httpx.AsyncClient) -> None:
    tools = {tool["name"]: tool for tool in (await ada.get("/api/tools")).json()["data"]}
    tool = tools["simulate_portfolio"]
    assert set(tool) == {"name", "description", "parameters", "run_in"}
    assert (tool["run_in"], tool["parameters"]["properties"]["years"]["type"]) == ("process", "integer")


async def test_an_upload_belongs_to_a_job(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/api/files", files={"file": ("sales.csv", b"a,b\n1,2\n", "text/csv")})
    assert answer.status_code == 201
    file = answer.json()
    assert {**file, "id": ""} == {"id": "", "name": "sales.csv", "mime": "text/csv", "size": 8}
    job = await run(ada, "query_table", tables=[file["id"]], sql="SELECT a + b AS c FROM sales")
    assert job["status"] == "completed", job


async def test_a_job_begun_here_is_seen_in_the_open_thread(ada: httpx.AsyncClient, api_server: Server) -> None:
    first = await submit(ada, "tokens=1", thread_id="shared-thread")
    second = await submit(ada, "tokens=2", thread_id="shared-thread")
    await ended(ada, second["id"])
    async with api_server.jobs() as jobs:
        assert [job.id for job in await jobs.thread_jobs("shared-thread")] == [first["id"], second["id"]]
