"""A model's reasoning: a text of its own at every door, told once, and never part of the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
from langchain_openai import ChatOpenAI
from openai.types.responses import ResponseStreamEvent
from pydantic import SecretStr, TypeAdapter

from tests.api.conftest import KEYS, client_of
from tests.api.doors import streamed_completion, whole_response
from tests.api.events import events_of, follow
from tests.conftest import StartServer
from tests.endpoint import Endpoint, script
from tests.server import Server
from tests.waiting import until

MODEL = "test-model"
CALL = 'call block_the_loop {"seconds": 0.01}'
STRICT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
THOUGHTS = [f"t{index}" for index in range(40)]
WORDS = [f"w{index}" for index in range(20)]


@pytest_asyncio.fixture(loop_scope="session")
async def python(api_server: Server) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{api_server.url}/v1", api_key=KEYS["ada"], max_retries=0) as client:
        yield client


def thoughtful(**options: object) -> str:
    return script(tokens=20, think=40, **options)


async def streamed(client: httpx.AsyncClient, address: str, body: dict[str, Any]) -> list[Any]:
    async with client.stream("POST", address, json=body) as response:
        assert response.status_code == 200, await response.aread()
        return [event.data async for event in events_of(response)]


def deltas(chunks: list[Any], name: str) -> list[str]:
    """The words of a field of a completion's deltas."""
    told = [chunk["choices"][0]["delta"] for chunk in chunks if chunk != "[DONE]" and chunk["choices"]]
    return "".join(delta.get(name) or "" for delta in told).split()


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("model", [MODEL, "assistant"])
async def test_a_completion_streams_it_before_the_answer(ada: httpx.AsyncClient, field: str, model: str) -> None:
    address, body = streamed_completion(thoughtful(think_as=field, rate=200))
    chunks = await streamed(ada, address, body | {"model": model})
    assert deltas(chunks, "reasoning_content") == THOUGHTS
    assert deltas(chunks, "content") == WORDS
    names = [name for chunk in chunks[:-1] for name in chunk["choices"][0]["delta"] if chunk["choices"]]
    assert names.index("reasoning_content") < len(names) - names[::-1].index("content")


async def test_a_whole_completion_has_it_beside_its_text(python: openai.AsyncOpenAI) -> None:
    whole = await python.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": thoughtful()}])
    message = whole.choices[0].message
    assert (message.content or "").split() == WORDS
    assert message.to_dict()["reasoning_content"].split() == THOUGHTS  # type: ignore[attr-defined]


async def test_a_response_has_it_as_an_item_before_its_message(ada: httpx.AsyncClient) -> None:
    address, body = whole_response(thoughtful(rate=200))
    told = await streamed(ada, address, body | {"stream": True})
    for event in told:
        STRICT.validate_python(event)
    thought = "".join(event["delta"] for event in told if event["type"] == "response.reasoning_text.delta")
    assert thought.split() == THOUGHTS
    kinds = list(dict.fromkeys(event["type"] for event in told))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.completed",
    ]
    reasoning, message = told[-1]["response"]["output"]
    assert (reasoning["type"], reasoning["summary"], reasoning["status"]) == ("reasoning", [], "completed")
    assert [part["text"].split() for part in reasoning["content"]] == [THOUGHTS]
    assert message["content"][0]["text"].split() == WORDS


async def test_a_conversation_goes_on_after_it_and_the_model_does_not_see_it_again(
    python: openai.AsyncOpenAI, api_endpoint: Endpoint
) -> None:
    opening = thoughtful()
    first = await python.responses.create(model=MODEL, input=opening)
    question = script(tokens=1)
    items = [{"role": "user", "content": opening}, *first.output, {"role": "user", "content": question}]
    await python.responses.create(model=MODEL, input=items)  # type: ignore[arg-type]  # as their example does
    again = script(tokens=1)
    await python.responses.create(model=MODEL, input=again, previous_response_id=first.id)
    for text in (question, again):
        [request] = api_endpoint.requests(text)
        assert [message["role"] for message in request.messages] == ["user", "assistant", "user"]
        assert "t39" not in str(request.messages)


async def test_reasoning_in_the_messages_of_a_completion_reaches_the_model_as_it_came(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    question = script(tokens=1)
    sent = [
        {"role": "user", "content": "Before."},
        {"role": "assistant", "content": "It was.", "reasoning_content": "Was it?"},
        {"role": "user", "content": question},
    ]
    for model in (MODEL, "assistant"):  # an agent's conversation has its own form
        body = {"model": model, "messages": sent}
        assert (await ada.post("/v1/chat/completions", json=body)).status_code == 200
    direct, of_agent = api_endpoint.requests(question)
    assert direct.body["messages"] == sent
    assert "Was it?" not in str(of_agent.body["messages"])


async def test_the_sdk_of_langchain_sees_the_answer_alone(api_server: Server) -> None:
    model = ChatOpenAI(
        model=MODEL, base_url=f"{api_server.url}/v1", api_key=SecretStr(KEYS["ada"]), streaming=True, max_retries=0
    )
    assert str((await model.ainvoke(thoughtful())).text).split() == WORDS


async def test_the_log_has_it_as_a_step_inside_the_models_call(ada: httpx.AsyncClient) -> None:
    job = (await ada.post("/api/jobs", json={"task": "chat", "input": thoughtful()})).json()
    events = [event.data for event in await follow(ada, job["id"])]
    [begin] = [event for event in events if event["type"] == "step.started" and event["kind"] == "reasoning"]
    assert (begin["step"], begin["parent"]) == ("model:1/reasoning", "model:1")
    [end] = [event for event in events if event["type"] == "step.finished" and event["step"] == begin["step"]]
    assert end["output"]["text"].split() == THOUGHTS
    first_word = next(event["seq"] for event in events if event["type"] == "text.delta" and event["step"] == "model:1")
    assert begin["seq"] < end["seq"] < first_word
    assert events[-1]["result"]["text"].split() == WORDS


async def test_the_ai_sdks_stream_has_it_as_a_part_that_begins_and_ends_before_the_text(ada: httpx.AsyncClient) -> None:
    message = {"id": "m", "role": "user", "parts": [{"type": "text", "text": thoughtful()}]}
    chunks = (await streamed(ada, "/api/ui/chat", {"id": script("reasons"), "messages": [message]}))[:-1]
    kinds = list(dict.fromkeys(chunk["type"] for chunk in chunks))
    assert kinds[1:6] == ["start-step", "reasoning-start", "reasoning-delta", "reasoning-end", "text-start"]
    assert "".join(chunk["delta"] for chunk in chunks if chunk["type"] == "reasoning-delta").split() == THOUGHTS
    assert len({chunk["id"] for chunk in chunks if chunk["type"].startswith("reasoning-")}) == 1


async def test_a_model_that_reasons_again_after_some_words_loses_nothing(ada: httpx.AsyncClient) -> None:
    twice, options = [f"t{index}" for index in range(80)], {"rate": 200, "think_again": 10}
    address, body = streamed_completion(thoughtful(**options))
    chunks = await streamed(ada, address, body)
    assert deltas(chunks, "reasoning_content") == twice
    assert deltas(chunks, "content") == WORDS

    whole = (await ada.post(address, json=body | {"stream": False, **fresh(**options)})).json()["choices"][0]
    assert whole["message"]["reasoning_content"].split() == twice
    assert whole["message"]["content"].split() == WORDS

    address, body = whole_response(thoughtful(**options))
    first, message, second = (await ada.post(address, json=body)).json()["output"]
    assert [one["content"][0]["text"].split() for one in (first, second)] == [THOUGHTS, twice[40:]]
    assert message["content"][0]["text"].split() == WORDS

    question = {"id": "m", "role": "user", "parts": [{"type": "text", "text": thoughtful(**options)}]}
    told = (await streamed(ada, "/api/ui/chat", {"id": script("reasons"), "messages": [question]}))[:-1]
    assert "".join(chunk["delta"] for chunk in told if chunk["type"] == "reasoning-delta").split() == twice
    assert len({chunk["id"] for chunk in told if chunk["type"] == "reasoning-start"}) == 2


async def test_a_call_that_breaks_off_in_it_is_tried_again_and_it_is_told_once(ada: httpx.AsyncClient) -> None:
    address, body = streamed_completion(thoughtful(cut_think=20, times=1, rate=200))
    chunks = await streamed(ada, address, body)
    assert deltas(chunks, "content") == WORDS
    assert deltas(chunks, "reasoning_content") == THOUGHTS[:20], "the first try was told"
    whole = (await ada.post(address, json=body | {"stream": False, **fresh(cut_think=20, times=1)})).json()
    assert whole["choices"][0]["message"]["reasoning_content"].split() == THOUGHTS


def fresh(**options: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": thoughtful(**options)}]}


async def test_a_worker_that_dies_in_it_costs_no_word_and_doubles_none(
    start_server: StartServer, endpoint: Endpoint
) -> None:
    server = await start_server(LONGHAUL_API_KEYS=f"ada:{KEYS['ada']}")
    question = thoughtful(hold_think=20, rate=200)
    async with client_of(server, "ada") as client:
        made = await client.post("/v1/responses", json={"model": MODEL, "input": question, "background": True})
        address = f"/v1/responses/{made.json()['id']}"
        await until(lambda: endpoint.requests(question), within=30, what="the model is asked")

        async def has_thought() -> bool:
            output = (await client.get(address)).json()["output"]
            return bool(output) and "t19" in output[0]["content"][0]["text"]

        await until(has_thought, within=30, what="half of the reasoning")
        server.kill_workers()
        await until(lambda: len(endpoint.requests(question)) == 2, within=40, what="the model is asked again")
        endpoint.release(question)
        async with client.stream("GET", address, params={"stream": True}) as response:
            told = [event.data async for event in events_of(response)]
        reasoning, message = told[-1]["response"]["output"]
        assert reasoning["content"][0]["text"].split() == THOUGHTS
        assert message["content"][0]["text"].split() == WORDS
        closed = [event["item"] for event in told if event["type"] == "response.output_item.done"]
        assert [(item["type"], item["status"]) for item in closed] == [
            ("reasoning", "incomplete"),
            ("reasoning", "completed"),
            ("message", "completed"),
        ]
        [started] = [
            event.data for event in await follow(client, "job_" + made.json()["id"][5:]) if event.name == "job.started"
        ][1:]
        assert (started["kept"], started["again"]) == (0, ["model:1"])


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_the_calls_of_an_agents_model_come_back_to_it_with_its_reasoning_in_later_turns_too(
    ada: httpx.AsyncClient, api_endpoint: Endpoint, field: str
) -> None:
    question = script(CALL, tokens=20, think=5, think_as=field, think_back=1)
    turn = {"task": "chat", "thread_id": f"reasons-{field}"}
    job = (await ada.post("/api/jobs", json=turn | {"input": question})).json()
    [*_, end] = await follow(ada, job["id"])
    assert "slept 0.01 seconds" in end.data["result"]["text"], end.data
    again = script(tokens=1, think_as=field, think_back=1)
    job = (await ada.post("/api/jobs", json=turn | {"input": again})).json()
    [*_, end] = await follow(ada, job["id"])
    assert end.data["type"] == "job.completed", end.data
    [request] = api_endpoint.requests(again)
    assert [message.get(field) for message in request.messages if message.get("tool_calls")] == ["t0 t1 t2 t3 t4 "]


async def test_a_response_that_goes_on_after_calls_returns_the_reasoning_to_the_model(
    python: openai.AsyncOpenAI, bob: httpx.AsyncClient
) -> None:
    tool: Any = {"type": "function", "name": "look_up", "parameters": {"type": "object"}}
    question = script("call look_up {}", tokens=1, think=5, think_back=1)
    first = await python.responses.create(model=MODEL, input=question, tools=[tool])
    call = first.output[-1]
    assert call.type == "function_call"
    result: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "wet"}]
    again = {"role": "user", "content": question}
    named = [{"type": "item_reference", "id": item.id} for item in first.output]
    for asked in (
        {"previous_response_id": first.id, "input": result},
        {"input": [again, *first.output, *result]},
        {"input": [again, *named, *result]},
        {"input": [again, call, *result]},
    ):
        answer = await python.responses.create(model=MODEL, tools=[tool], **asked)
        assert answer.output_text == "The tool answered: wet w0 "
    stolen = {"model": MODEL, "tools": [tool], "input": [again, call.to_dict(), *result]}
    assert "reasoning must be passed back" in (await bob.post("/v1/responses", json=stolen)).text
