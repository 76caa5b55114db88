"""A model's name at `/v1` is that model: made durable, with what the caller sends and nothing of ours."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai.types.responses import FunctionToolParam, ResponseStreamEvent
from pydantic import BaseModel, SecretStr, TypeAdapter

from tests.api.conftest import KEYS
from tests.api.events import events_of
from tests.conftest import StartServer
from tests.endpoint import Endpoint, script
from tests.server import Server
from tests.waiting import until

MODEL = "test-model"
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
STRICT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
PIXEL = "data:image/png;base64,iVBORw0KGgo="
SCHEMA: dict[str, object] = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
LOOK_UP = {"type": "function", "function": {"name": "look_up", "description": "Look up.", "parameters": SCHEMA}}
LOOK_UP_FLAT: FunctionToolParam = {
    "type": "function",
    "name": "look_up",
    "description": "Look up.",
    "parameters": SCHEMA,
    "strict": False,
}
FOREIGN_IMAGE = {"type": "input_image", "image_url": "http://127.0.0.1/"}
FOREIGN_FILE = {"type": "input_file", "file_url": "http://127.0.0.1/"}
ASKS = 'call look_up {"word": "sea"}'


@pytest_asyncio.fixture(loop_scope="session")
async def python(api_server: Server) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{api_server.url}/v1", api_key=KEYS["ada"], max_retries=0) as client:
        yield client


async def posted(client: httpx.AsyncClient, address: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(address, json={"model": MODEL, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def refused(client: httpx.AsyncClient, address: str, **body: Any) -> tuple[int, str, str]:
    answer = await client.post(address, json={"model": MODEL, **body})
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


async def test_chat_completions_passes_everything_on_as_it_came_and_adds_nothing(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    question = script(tokens=2)
    sent = {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "name": "ada", "content": "Before."},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "a", **_call("f", '{"x":  1}')}]},
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "1"}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": question},
                    {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                ],
            },
        ],
        "temperature": 0,
        "top_p": 0.5,
        "max_tokens": 7,
        "stop": "END",
        "seed": 3,
        "presence_penalty": 1,
        "logit_bias": {"50": -1},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
        "tools": [LOOK_UP],
        "tool_choice": {"type": "function", "function": {"name": "look_up"}},
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "user": "somebody",
    }
    body = await posted(ada, CHAT, **sent)
    assert body["choices"][0]["message"]["content"] == "w0 w1 "
    [request] = api_endpoint.requests(question)
    asked = {name: value for name, value in request.body.items() if name not in ("model", "stream", "stream_options")}
    assert asked == sent


async def test_a_call_of_the_callers_tool_ends_the_completion_and_its_result_goes_on(
    python: openai.AsyncOpenAI,
) -> None:
    question = script(ASKS, tokens=1)
    first = await python.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": question}],
        tools=[LOOK_UP],  # type: ignore[list-item]
    )
    choice = first.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    [call] = choice.message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("look_up", {"word": "sea"})
    second = await python.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "user", "content": question},
            choice.message.model_dump(exclude_none=True),  # type: ignore[list-item]
            {"role": "tool", "tool_call_id": call.id, "content": "wet"},
        ],
        tools=[LOOK_UP],  # type: ignore[list-item]
    )
    assert second.choices[0].message.content == "The tool answered: wet w0 "


async def test_a_streamed_call_comes_as_deltas_that_the_client_adds_up(python: openai.AsyncOpenAI) -> None:
    two = f'{ASKS} & call look_up {{"word": "sky"}}'
    async with python.chat.completions.stream(
        model=MODEL,
        messages=[{"role": "user", "content": script(two, say=2)}],
        tools=[LOOK_UP],  # type: ignore[list-item]
    ) as stream:
        whole = await stream.get_final_completion()
    choice = whole.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "s0 s1 ")
    words = [json.loads(call.function.arguments)["word"] for call in choice.message.tool_calls or []]
    assert words == ["sea", "sky"]
    assert len({call.id for call in choice.message.tool_calls or []}) == 2


@pytest.mark.parametrize("name", [MODEL, "assistant"])
@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_langchain_model_with_bound_tools_calls_them_through_us(
    api_server: Server, name: str, responses: bool, stream: bool
) -> None:
    key = SecretStr(KEYS["ada"])
    model = ChatOpenAI(
        model=name, base_url=f"{api_server.url}/v1", api_key=key, max_retries=0, use_responses_api=responses
    )
    bound = model.bind_tools([LOOK_UP])

    async def answered(*messages: BaseMessage) -> AIMessage:
        if not stream:
            return await bound.ainvoke(list(messages))
        first, *others = [chunk async for chunk in bound.astream(list(messages))]
        return sum(others, start=first)

    question = HumanMessage(script(ASKS, say=1, tokens=1))
    asked = await answered(question)
    [call] = asked.tool_calls
    assert (asked.text, call["name"], call["args"]) == ("s0 ", "look_up", {"word": "sea"})
    answer = await answered(question, asked, ToolMessage("wet", tool_call_id=call["id"]))
    assert answer.text == "The tool answered: wet w0 "


class Word(BaseModel):
    word: str


async def test_a_forced_format_reaches_the_model(python: openai.AsyncOpenAI, api_endpoint: Endpoint) -> None:
    question = script(tokens=1)
    with pytest.raises(ValueError, match="Word"):  # the scripted model answers "w0 "
        await python.responses.parse(model=MODEL, input=question, text_format=Word)
    wanted = api_endpoint.requests(question)[0].body["response_format"]
    assert (wanted["type"], wanted["json_schema"]["name"]) == ("json_schema", "Word")
    assert wanted["json_schema"]["schema"]["required"] == ["word"]


async def test_probabilities_of_tokens_are_there_when_they_are_asked_for(ada: httpx.AsyncClient) -> None:
    body = await posted(ada, CHAT, messages=_user("tokens=2"), logprobs=True, top_logprobs=1)
    assert [one["token"] for one in body["choices"][0]["logprobs"]["content"]] == ["w0 ", "w1 "]
    response = await posted(ada, RESPONSES, input=script(tokens=2), include=["message.output_text.logprobs"])
    assert [one["token"] for one in response["output"][0]["content"][0]["logprobs"]] == ["w0 ", "w1 "]
    assert (await posted(ada, CHAT, messages=_user("tokens=2")))["choices"][0]["logprobs"] is None


async def test_the_kinds_of_tokens_that_the_endpoint_counts_are_told(ada: httpx.AsyncClient) -> None:
    question = script(tokens=2, cached=3, reasoning=5)
    usage = (await posted(ada, CHAT, messages=_user(question)))["usage"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 3}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 5}
    usage = (await posted(ada, RESPONSES, input=question))["usage"]
    assert usage["input_tokens_details"]["cached_tokens"] == 3
    assert usage["output_tokens_details"] == {"reasoning_tokens": 5}


@pytest.mark.parametrize("address", [CHAT, RESPONSES])
async def test_what_the_endpoint_refuses_is_its_own_sentence(ada: httpx.AsyncClient, address: str) -> None:
    question = script(status=400)
    asked = {"messages": [{"role": "user", "content": question}]} if address == CHAT else {"input": question}
    status, code, message = await refused(ada, address, **asked)
    assert (status, code) == (400, "request_refused")
    assert message == "The model endpoint refused the request: scripted status 400"


@pytest.mark.parametrize("address", [CHAT, RESPONSES])
async def test_the_arguments_of_a_call_are_the_text_that_the_endpoint_sent(
    ada: httpx.AsyncClient, address: str
) -> None:
    written = '{ "word":"s\\u00e9a",  "n": 1.0, "n": 1e2}'
    question = script(f"call look_up {written} & call look_up {{}}")
    if address == CHAT:
        body = await posted(ada, CHAT, messages=_user(question), tools=[LOOK_UP])
        calls = [call["function"] for call in body["choices"][0]["message"]["tool_calls"]]
    else:
        calls = (await posted(ada, RESPONSES, input=question, tools=[LOOK_UP_FLAT]))["output"]
    assert [call["arguments"] for call in calls] == [written, "{}"]


@pytest.mark.parametrize("address", [CHAT, RESPONSES])
async def test_a_model_goes_on_with_words_that_are_put_into_its_mouth(
    ada: httpx.AsyncClient, api_endpoint: Endpoint, address: str
) -> None:
    question = script(tokens=1)
    begun = [*_user(question), {"role": "assistant", "content": "Once upon"}]
    await posted(ada, address, **{"messages" if address == CHAT else "input": begun})
    [request] = api_endpoint.requests(question)
    assert request.messages == begun


VENDORS = {"top_k": 3, "min_p": 0.1, "guided": {"choice": ["a", "b"]}}


@pytest.mark.parametrize("address", [CHAT, RESPONSES])
@pytest.mark.parametrize("name", [MODEL, "assistant"])
async def test_fields_that_openai_does_not_have_reach_the_endpoint_of_a_model_by_itself(
    ada: httpx.AsyncClient, api_endpoint: Endpoint, address: str, name: str
) -> None:
    question = script(tokens=1)
    asked = {"messages": _user(question)} if address == CHAT else {"input": question}
    await posted(ada, address, **asked, **VENDORS, prompt_cache_retention=None, audio={}, model=name)
    [request] = api_endpoint.requests(question)
    told = {field: value for field, value in request.body.items() if field in {*VENDORS, "prompt", "audio"}}
    assert told == (VENDORS if name == MODEL else {})


async def test_no_field_of_chat_completions_replaces_what_a_response_asks(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    question = script(tokens=1)
    others = {"messages": [], "n": 3, "max_completion_tokens": 9, "stream_options": {}, "functions": [{"name": "f"}]}
    await posted(ada, RESPONSES, input=question, max_output_tokens=2, **others)
    [request] = api_endpoint.requests(question)
    told = {name: request.body[name] for name in others if name in request.body}
    asked = {"messages": _user(question), "max_completion_tokens": 2, "stream_options": {"include_usage": True}}
    assert told == asked


async def test_a_model_by_itself_answers_instructions_alone(ada: httpx.AsyncClient) -> None:
    body = await posted(ada, CHAT, messages=[{"role": "system", "content": "tokens=1"}])
    assert body["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("address", [CHAT, RESPONSES])
@pytest.mark.parametrize("others", [{f"x{number}": 1 for number in range(65)}, {"x": "x" * 100_001}])
async def test_there_is_a_limit_to_such_fields(ada: httpx.AsyncClient, address: str, others: dict[str, object]) -> None:
    asked = {"messages": _user("Hi")} if address == CHAT else {"input": "Hi"}
    status, code, _ = await refused(ada, address, **asked, **others)
    assert (status, code) == (400, "invalid_request")


async def test_a_refusal_is_told_apart_from_content(python: openai.AsyncOpenAI) -> None:
    messages = [{"role": "user", "content": script(tokens=2, word="no", refuse=1)}]
    whole = await python.chat.completions.create(model=MODEL, messages=messages)  # type: ignore[arg-type]
    assert (whole.choices[0].message.refusal, whole.choices[0].message.content) == ("no0 no1 ", None)
    async with python.chat.completions.stream(model=MODEL, messages=messages) as stream:  # type: ignore[arg-type]
        streamed = await stream.get_final_completion()
    assert (streamed.choices[0].message.refusal, streamed.choices[0].message.content) == ("no0 no1 ", "")
    again = [*messages, whole.choices[0].message.model_dump(), {"role": "user", "content": "tokens=1"}]
    for name in (MODEL, "assistant"):  # either reads a conversation in which a model has refused
        await python.chat.completions.create(model=name, messages=again)  # type: ignore[arg-type]


async def test_an_agents_refusal_is_its_answer(ada: httpx.AsyncClient) -> None:
    body = await posted(ada, CHAT, messages=_user(script(tokens=1, word="no", refuse=1)), model="assistant")
    assert body["choices"][0]["message"]["content"] == "no0 "


# -- responses


async def test_a_response_repeats_what_it_was_asked_and_passes_it_on(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    question = script(tokens=1)
    asked = {
        "temperature": 0,
        "top_p": 0.5,
        "max_output_tokens": 7,
        "presence_penalty": 0.5,
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}, "verbosity": "low"},
        "tools": [LOOK_UP_FLAT],
        "tool_choice": {"type": "function", "name": "look_up"},
        "store": False,
        "truncation": "auto",
        "metadata": {"a": "b"},
        "instructions": "Be brief.",
        "user": "somebody",
    }
    body = await posted(ada, RESPONSES, input=question, **asked)
    assert {name: body[name] for name in asked} == asked
    [request] = api_endpoint.requests(question)
    assert request.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": question},
    ]
    told = {"max_completion_tokens": 7, "reasoning_effort": "low", "verbosity": "low", "temperature": 0, "top_p": 0.5}
    assert {name: request.body[name] for name in told} == told
    assert request.body["response_format"] == {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    assert request.body["tool_choice"] == {"type": "function", "function": {"name": "look_up"}}
    [tool] = request.body["tools"]
    assert tool["function"] == {name: value for name, value in LOOK_UP_FLAT.items() if name != "type"}


REQUIRED = {
    *("id", "object", "created_at", "completed_at", "status", "incomplete_details", "model", "previous_response_id"),
    *("instructions", "output", "error", "tools", "tool_choice", "truncation", "parallel_tool_calls", "text", "top_p"),
    *("presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "reasoning", "usage", "metadata"),
    *("max_output_tokens", "max_tool_calls", "store", "background", "service_tier", "safety_identifier"),
    "prompt_cache_key",
}
"""The fields of a response in the specification of Open Responses."""
TEMPLATES: dict[str, dict[str, Any]] = {
    "basic": {"input": "tokens=2"},
    "items": {"input": [{"type": "message", "role": "user", "content": "tokens=2"}]},
    "system prompt": {
        "input": [
            {"type": "message", "role": "system", "content": "Be a pirate."},
            {"type": "message", "role": "user", "content": "tokens=2"},
        ]
    },
    "tools": {"input": f"{ASKS} tokens=2", "tools": [{"type": "function", "name": "look_up", "parameters": SCHEMA}]},
    "image": {
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "tokens=2"},
                    {"type": "input_image", "image_url": PIXEL},
                ],
            }
        ]
    },
    "phases of an answer": {
        "input": [
            {"type": "message", "role": "assistant", "phase": "commentary", "content": "I should count."},
            {"type": "message", "role": "assistant", "phase": "final_answer", "content": "Four."},
            {"type": "message", "role": "user", "content": "tokens=2"},
        ]
    },
    "several turns": {
        "input": [
            {"role": "user", "content": "My name is Ada."},
            {"role": "assistant", "content": [{"type": "output_text", "text": "Hello Ada.", "annotations": []}]},
            {"role": "user", "content": "tokens=2"},
        ]
    },
}


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("stream", [False, True])
async def test_each_kind_of_request_gets_a_whole_response(ada: httpx.AsyncClient, template: str, stream: bool) -> None:
    body = {"model": MODEL, **TEMPLATES[template]}
    if not stream:
        response = await posted(ada, RESPONSES, **body)
    else:
        async with ada.stream("POST", RESPONSES, json={**body, "stream": True}) as answer:
            events = [event.data async for event in events_of(answer)]
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        for event in events:
            STRICT.validate_python(event)
        response = events[-1]["response"]
    assert set(response) >= REQUIRED
    assert (response["status"], response["object"]) == ("completed", "response")
    for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty", "top_logprobs"):
        assert isinstance(response[name], int | float), name
    for name in ("created_at", "completed_at"):
        assert isinstance(response[name], int), name
    for tool in response["tools"]:
        assert set(tool) == {"type", "name", "description", "parameters", "strict"}
    [item] = response["output"]
    assert item["type"] == ("function_call" if template == "tools" else "message")


async def test_a_response_tells_a_refusal_as_a_part_of_its_own(ada: httpx.AsyncClient, api_endpoint: Endpoint) -> None:
    question = script(tokens=2, word="no", refuse=1)
    body = {"model": MODEL, "input": question, "stream": True}
    async with ada.stream("POST", RESPONSES, json=body) as answer:
        events = [event.data async for event in events_of(answer)]
    for event in events:
        STRICT.validate_python(event)
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    [item] = events[-1]["response"]["output"]
    refusal = {"type": "refusal", "refusal": "no0 no1 "}
    assert item["content"] == [refusal]
    after = script(tokens=1)
    for name in (MODEL, "assistant"):
        await posted(ada, RESPONSES, input=after, previous_response_id=events[0]["response"]["id"], model=name)
    alone, agent = api_endpoint.requests(after)
    assert alone.messages[1]["content"] == [refusal]
    assert agent.messages[2]["content"] == refusal["refusal"]
    sent_again = [{"role": "user", "content": question}, item, {"role": "user", "content": "tokens=1 again"}]
    for name in (MODEL, "assistant"):
        await posted(ada, RESPONSES, input=sent_again, model=name)


async def test_a_call_ends_a_response_and_its_output_goes_on_from_it(
    python: openai.AsyncOpenAI, api_endpoint: Endpoint
) -> None:
    question = script(ASKS, tokens=1)
    first = await python.responses.create(model=MODEL, input=question, tools=[LOOK_UP_FLAT])
    [call] = first.output
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments)) == ("look_up", {"word": "sea"})
    second = await python.responses.create(
        model=MODEL,
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "wet"}],
        tools=[LOOK_UP_FLAT],
    )
    assert second.output_text == "The tool answered: wet w0 "
    assert [message["role"] for message in api_endpoint.requests(question)[-1].messages] == [
        "user",
        "assistant",
        "tool",
    ]
    items = (await python.responses.input_items.list(second.id, order="asc")).data
    assert [item.type for item in items] == ["message", "function_call", "function_call_output"]


@pytest.mark.parametrize("name", [MODEL, "assistant"])
async def test_items_of_earlier_responses_are_named_by_their_ids(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient, api_endpoint: Endpoint, name: str
) -> None:
    question = script(ASKS, say=1, tokens=1)
    first = await posted(ada, RESPONSES, input=question, tools=[LOOK_UP_FLAT], model=name)
    named = [{"type": "item_reference", "id": item["id"]} for item in first["output"]]
    result = {"type": "function_call_output", "call_id": first["output"][1]["call_id"], "output": "wet"}
    asked = {"input": [{"role": "user", "content": question}, *named, result], "tools": [LOOK_UP_FLAT], "model": name}
    second = await posted(ada, RESPONSES, **asked)
    assert second["output"][0]["content"][0]["text"] == "The tool answered: wet w0 "
    _, said, _ = api_endpoint.requests(question)[-1].messages[-3:]
    assert (said["role"], said["content"], len(said["tool_calls"])) == ("assistant", "s0 ", 1)
    assert await refused(bob, RESPONSES, **asked) == (
        404,
        "not_found",
        f"input.1.id: there is no item {named[0]['id']!r}.",
    )


@pytest.mark.parametrize("id", ["x", "item_0000", f"msg_{'0' * 26}", None])
async def test_an_unknown_item_is_404(ada: httpx.AsyncClient, id: str | None) -> None:
    status, code, _ = await refused(ada, RESPONSES, input=[{"type": "item_reference", "id": id}])
    assert (status, code) == (404, "not_found")


async def test_an_item_of_a_running_response_cannot_be_named(ada: httpx.AsyncClient, api_endpoint: Endpoint) -> None:
    question = script(tokens=2, hold="1")
    begun = await posted(ada, RESPONSES, input=question, background=True)
    item = f"msg_{begun['id'].removeprefix('resp_')}00"
    status, code, _ = await refused(ada, RESPONSES, input=[{"type": "item_reference", "id": item}])
    assert (status, code) == (409, "conflict")
    api_endpoint.release(question)


async def test_the_calls_of_a_stream_are_events_that_can_be_resumed_anywhere(ada: httpx.AsyncClient) -> None:
    body = {"model": MODEL, "input": script(ASKS, say=2), "tools": [LOOK_UP_FLAT], "stream": True, "background": True}
    async with ada.stream("POST", RESPONSES, json=body) as answer:
        events = [event.data async for event in events_of(answer)]
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[-5:] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    address = f"{RESPONSES}/{events[0]['response']['id']}"
    for after in (0, len(events) - 5, len(events) - 2):
        async with ada.stream("GET", address, params={"stream": True, "starting_after": after}) as answer:
            assert [event.data async for event in events_of(answer)] == events[after + 1 :]


async def test_a_file_of_ones_own_is_read_by_its_id(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    uploaded = await ada.post("/api/files", files={"file": ("a.txt", b"Hello", "text/plain")})
    question = script(tokens=1)
    asked = [{"type": "input_text", "text": question}, {"type": "input_file", "file_id": uploaded.json()["id"]}]
    await posted(ada, RESPONSES, input=[{"role": "user", "content": asked}])
    [_, part] = api_endpoint.requests(question)[0].messages[0]["content"]
    data = f"data:text/plain;base64,{base64.b64encode(b'Hello').decode()}"
    assert part == {"type": "file", "file": {"file_data": data, "filename": "a.txt"}}
    status, code, _ = await refused(bob, RESPONSES, input=[{"role": "user", "content": asked}])
    assert (status, code) == (404, "not_found")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"input": [{"role": "user", "content": [FOREIGN_IMAGE]}]}, "unsupported_content"),
        ({"input": [{"role": "user", "content": [FOREIGN_FILE]}]}, "unsupported_content"),
        ({"input": "Hi", "conversation": "conv_1"}, "unsupported_parameter"),
        ({"input": "Hi", "prompt": {"id": "pmpt_1"}}, "unsupported_parameter"),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": "y"}]}, "invalid_request"),
        ({"input": [{"type": "function_call", "call_id": "x", "name": "f", "arguments": "{}"}]}, "invalid_request"),
        ({"input": "Hi", "tools": [{"type": "web_search"}]}, "unsupported_tool"),
        ({"input": "Hi", "tool_choice": {"type": "mcp"}}, "unsupported_value"),
    ],
)
async def test_what_a_model_by_itself_cannot_do_is_refused(
    ada: httpx.AsyncClient, asked: dict[str, Any], code: str
) -> None:
    status, found, _ = await refused(ada, RESPONSES, **asked)
    assert (status, found) == (400, code)


# -- durability


async def test_a_model_by_itself_survives_the_death_of_its_worker(
    start_server: StartServer, endpoint: Endpoint
) -> None:
    server = await start_server()
    streamed, whole = script(tokens=40, rate=40), script(tokens=40, rate=40, word="x")
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        body = {"model": MODEL, "input": streamed, "background": True}
        response = (await http.post(RESPONSES, json=body)).json()
        waiting = asyncio.create_task(posted(http, CHAT, messages=[{"role": "user", "content": whole}]))
        for question in (streamed, whole):
            await until(partial(_has_begun, endpoint, question), within=30, what="words arrive")
        server.kill_workers()
        said = (await waiting)["choices"][0]["message"]["content"]
        assert said == "".join(f"x{number} " for number in range(40))

        async def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = (await http.get(f"{RESPONSES}/{response['id']}")).json()
            return found if found["status"] == "completed" else None

        found = await until(ended, within=60, what="the response is complete")
        assert found is not None
        [message] = found["output"]
        assert message["content"][0]["text"] == "".join(f"w{number} " for number in range(40))
        job = (await http.get(f"/api/jobs/{response['id'].replace('resp_', 'job_')}")).json()
        assert (job["task"], job["attempt"]) == ("model", 2)


async def test_a_request_with_messages_of_its_own_has_no_words_to_edit(ada: httpx.AsyncClient) -> None:
    response = await posted(ada, RESPONSES, input=script(tokens=1))
    address = f"/api/jobs/{response['id'].replace('resp_', 'job_')}"
    assert (await ada.patch(address, json={"input": "other"})).status_code == 422


async def test_the_jobs_api_does_not_call_a_model_by_itself(ada: httpx.AsyncClient) -> None:
    for body in ({"task": "model", "input": "Hi"}, {"task": "model", "arguments": {"messages": []}}):
        assert (await ada.post("/api/jobs", json=body)).status_code == 422


async def test_people_know_its_job_by_the_users_last_words(ada: httpx.AsyncClient) -> None:
    asked = [
        {"role": "user", "content": "Before."},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": [{"type": "text", "text": "tokens=1 Last"}]},
    ]
    body = await posted(ada, CHAT, messages=asked)
    job = (await ada.get(f"/api/jobs/{body['id'].replace('chatcmpl-', 'job_')}")).json()
    assert (job["task"], job["title"], job["result"]["text"]) == ("model", "tokens=1 Last", "w0 ")


async def test_models_and_agents_are_told_apart_by_their_owners(ada: httpx.AsyncClient) -> None:
    owners = {one["id"]: one["owned_by"] for one in (await ada.get("/v1/models")).json()["data"]}
    assert (owners[MODEL], owners["assistant"]) == ("longhaul", "longhaul-agents")
    assert (await ada.get("/v1/models/assistant")).json()["owned_by"] == "longhaul-agents"


def _user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _call(name: str, arguments: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def _has_begun(endpoint: Endpoint, question: str) -> bool:
    return sum(request.tokens_sent for request in endpoint.requests(question)) > 10


# -- an agent with tools of the caller


async def test_an_agent_offers_the_callers_tools_beside_its_own_and_goes_on_with_their_results(
    python: openai.AsyncOpenAI, api_endpoint: Endpoint
) -> None:
    question = script(ASKS, tokens=1, say=1)
    first = await python.chat.completions.create(
        model="assistant",
        messages=[{"role": "user", "content": question}],
        tools=[LOOK_UP],  # type: ignore[list-item]
    )
    choice = first.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "s0 ")
    [call] = choice.message.tool_calls or []
    second = await python.chat.completions.create(
        model="assistant",
        messages=[
            {"role": "user", "content": question},
            choice.message.model_dump(exclude_none=True),  # type: ignore[list-item]
            {"role": "tool", "tool_call_id": call.id, "content": "wet"},
        ],
        tools=[LOOK_UP],  # type: ignore[list-item]
    )
    assert second.choices[0].message.content == "The tool answered: wet w0 "
    first_asked, second_asked = api_endpoint.requests(question)
    names = [tool["function"]["name"] for tool in first_asked.body["tools"]]
    assert "look_up" in names
    assert len(names) > 1
    assert [message["role"] for message in second_asked.messages] == ["system", "user", "assistant", "tool"]


async def test_a_call_with_unusable_arguments_reaches_the_caller_of_an_agent_as_it_is(ada: httpx.AsyncClient) -> None:
    question = script('call look_up {"word": NaN}')
    body = await posted(ada, CHAT, messages=_user(question), tools=[LOOK_UP], model="assistant")
    [call] = body["choices"][0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == '{"word": NaN}'


async def test_an_agents_response_goes_on_from_the_output_of_the_callers_tool(python: openai.AsyncOpenAI) -> None:
    question = script(ASKS, tokens=1)
    first = await python.responses.create(model="assistant", input=question, tools=[LOOK_UP_FLAT])
    assert first.model == "assistant"
    [call] = first.output
    assert call.type == "function_call"
    for _ in range(2):  # a second answer to the same call goes on from the same place
        second = await python.responses.create(
            model="assistant",
            previous_response_id=first.id,
            input=[{"type": "function_call_output", "call_id": call.call_id, "output": "wet"}],
            tools=[LOOK_UP_FLAT],
        )
        assert second.output_text == "The tool answered: wet w0 "
    third = await python.responses.create(model="assistant", previous_response_id=second.id, input=script(tokens=2))
    assert third.output_text == "w0 w1 "
