"""Agents at every door: a real server with agents of a team's own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.api.test_jobs import ended
from tests.conftest import StartServer, model_environment
from tests.endpoint import Endpoint
from tests.server import Server
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
SHELF = '''
from typing import Literal

from toolkit import AgentContext, agent


@agent(starters=["What is new?"])
async def parrot(ctx: AgentContext, times: int = 1, voice: Literal["low", "high"] = "low") -> None:
    """Repeats the message."""
    text = " ".join([ctx.text] * times)
    ctx.write(text.upper() if voice == "high" else text)


@agent
async def helper(ctx: AgentContext) -> None:
    """Asks the model."""
    await ctx.respond("Help.")
'''


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(api_endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("agents")
    (folder / "shelf").mkdir()
    (folder / "shelf" / "shelf.py").write_text(SHELF)
    directories = os.pathsep.join([str(ROOT / "agents"), str(folder / "shelf")])
    server = Server(folder / "server", model_environment(api_endpoint) | {"LONGHAUL_AGENT_DIRS": directories})
    (folder / "server").mkdir()
    await server.start()
    yield server
    server.stop()
    server.check_log()


@pytest_asyncio.fixture(loop_scope="session")
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        yield client


async def ask(client: httpx.AsyncClient, task: str, text: str = "Hi", **fields: Any) -> dict[str, Any]:
    answer = await client.post("/api/jobs", json={"task": task, "input": text, **fields})
    assert answer.status_code == 202, answer.text
    return await ended(client, answer.json()["id"])


async def test_the_agents_are_listed_with_their_settings_the_default_one_first(client: httpx.AsyncClient) -> None:
    first, *others = (await client.get("/api/agents")).json()["data"]
    assert (first["name"], first["default"], set(first)) == (
        "assistant", True, {"name", "description", "parameters", "default"},
    )  # fmt: skip
    assert {one["name"]: one["default"] for one in others} == {"helper": False, "parrot": False}
    [parrot] = [one for one in others if one["name"] == "parrot"]
    assert parrot["parameters"]["properties"]["times"]["default"] == 1
    assert "parrot" not in {tool["name"] for tool in (await client.get("/api/tools")).json()["data"]}


async def test_an_agent_is_a_task_with_its_settings_as_arguments(client: httpx.AsyncClient) -> None:
    job = await ask(client, "parrot", "hello", arguments={"times": 2, "voice": "high"})
    assert (job["task"], job["status"], job["result"]) == ("parrot", "completed", {"text": "HELLO HELLO"})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"task": "parrot", "input": "x", "arguments": {"times": "many"}}, "arguments.times"),
        ({"task": "parrot", "input": "x", "arguments": {"volume": 1}}, "arguments"),
        ({"task": "parrot", "input": " "}, "input"),
        ({"task": "parrots", "input": "x"}, "task"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_field(
    client: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await client.post("/api/jobs", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["message"].startswith(field)


async def test_an_agent_s_name_is_a_model_of_openai_s_doors(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/models")).json()["data"]
    assert {one["id"] for one in listed} == {"test-model", "assistant", "parrot", "helper"}
    assert (await client.get("/v1/models/parrot")).status_code == 200
    said = {"model": "parrot", "messages": [{"role": "user", "content": "squawk"}]}
    whole = (await client.post("/v1/chat/completions", json=said)).json()
    assert (whole["model"], whole["choices"][0]["message"]["content"]) == ("parrot", "squawk")
    response = (await client.post("/v1/responses", json={"model": "parrot", "input": "squawk"})).json()
    assert (response["model"], response["output"][0]["content"][0]["text"]) == ("parrot", "squawk")


async def test_a_thread_keeps_its_agent_and_its_settings(client: httpx.AsyncClient) -> None:
    await ask(client, "parrot", "one", thread_id="kept", arguments={"times": 3})
    job = await ask(client, "chat", "two", thread_id="kept")
    assert (job["task"], job["result"]["text"]) == ("parrot", "two two two")
    back = await ask(client, "assistant", "tokens=1", thread_id="kept")
    assert (back["task"], back["result"]["text"]) == ("assistant", "w0 ")


async def test_what_an_agent_said_is_read_by_the_next_one(client: httpx.AsyncClient, api_endpoint: Endpoint) -> None:
    await ask(client, "parrot", "the password is swordfish", thread_id="read")
    await ask(client, "helper", "tokens=2 told", thread_id="read")
    asked = next(one for one in api_endpoint.requests() if one.messages[-1]["content"] == "tokens=2 told")
    assert [(one["role"], one["content"]) for one in asked.messages] == [
        ("system", "Help."),
        ("user", "the password is swordfish"),
        ("assistant", "the password is swordfish"),
        ("user", "tokens=2 told"),
    ]


async def test_an_agent_that_is_gone_is_a_sentence_and_its_thread_stays_readable(
    start_server: StartServer, tmp_path: Path
) -> None:
    (tmp_path / "shelf.py").write_text(SHELF)
    directories = os.pathsep.join([str(ROOT / "agents"), str(tmp_path)])
    server = await start_server(LONGHAUL_AGENT_DIRS=directories)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        job = await ask(client, "parrot", "hello", thread_id="mine")
        server.stop()
        await server.start(LONGHAUL_AGENT_DIRS=str(ROOT / "agents"))

        async def is_gone() -> bool:
            return len((await client.get("/api/agents")).json()["data"]) == 1

        await until(is_gone, within=30, what="the new agents are published")
        refused = await client.post("/api/jobs", json={"task": "chat", "input": "more", "thread_id": "mine"})
        assert refused.status_code == 409
        assert "The agent 'parrot' of this conversation is no longer there" in refused.json()["error"]["message"]
        assert (await client.get(f"/api/jobs/{job['id']}")).json()["result"] == {"text": "hello"}


async def test_a_killed_worker_costs_an_agent_no_word(start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "shelf.py").write_text(SHELF)
    server = await start_server(LONGHAUL_AGENT_DIRS=os.pathsep.join([str(ROOT / "agents"), str(tmp_path)]))
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        answer = await client.post("/api/jobs", json={"task": "helper", "input": "tokens=60 rate=30"})
        job_id = answer.json()["id"]

        async def writes() -> bool:
            return bool((await client.get(f"/api/jobs/{job_id}")).json()["last_seq"] > 5)

        await until(writes, within=30, what="the first words")
        for lock in (server.data_dir / "workers").glob("*.lock"):
            os.kill(int(lock.read_text()), signal.SIGKILL)
        job = await asyncio.wait_for(ended(client, job_id), 60)
    assert job["result"]["text"] == "".join(f"w{number} " for number in range(60))
    assert job["attempt"] == 2
