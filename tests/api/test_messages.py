"""Conversations in OpenAI's form: what is stored of them, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import convert_to_messages
from pydantic import TypeAdapter

from api.errors import ApiError
from api.openai.messages import Conversation, Message, read_conversation

MESSAGES = TypeAdapter(list[Message])
HELLO = {"role": "user", "content": "Hello"}


def call(id: Any = "c1", arguments: Any = '{"x":1}', name: Any = "f") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: dict[str, Any], content: Any = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(id: Any = "c1", content: Any = "r") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def read(*messages: dict[str, Any]) -> Conversation:
    return read_conversation(MESSAGES.validate_python(list(messages)))


def parts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


@pytest.mark.parametrize(
    ("messages", "earlier"),
    [
        ([], []),
        ([{"role": "system", "content": "Be brief."}], [{"role": "system", "content": "Be brief."}]),
        ([{"role": "developer", "content": parts("a", "b")}], [{"role": "developer", "content": "a\nb"}]),
        ([{**HELLO, "name": "ada"}], [{"role": "user", "content": "Hello", "name": "ada"}]),
        ([HELLO, {"role": "assistant", "content": ""}], [HELLO, {"role": "assistant", "content": ""}]),
        ([calling(call()), result()], [calling(call(), content=""), result()]),
        ([calling(call(arguments="")), result()], [calling(call(arguments="{}"), content=""), result()]),
        (
            [calling(call("a"), call("b"), content="Wait."), result("b"), result("a", parts("x", "y"))],
            [calling(call("a"), call("b"), content="Wait."), result("b"), result("a", "x\ny")],
        ),
    ],
)
def test_earlier_messages_are_kept_in_a_form_that_any_model_takes(
    messages: list[dict[str, Any]], earlier: list[dict[str, Any]]
) -> None:
    conversation = read(*messages, HELLO)
    assert conversation == Conversation(earlier=earlier, question="Hello")
    assert len(convert_to_messages([dict(message) for message in conversation.earlier])) == len(earlier)


def test_the_parts_of_the_question_are_its_lines() -> None:
    assert read({"role": "user", "content": parts("one", "two")}).question == "one\ntwo"


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([HELLO, {"role": "assistant", "content": "Hi"}], "messages.1.role"),
        ([{"role": "user", "content": " "}], "messages.0.content"),
        ([{"role": "user", "content": None}], "messages.0.content"),
        ([{"role": "user", "content": []}], "messages.0.content"),
        ([{"role": "assistant", "content": None}, HELLO], "messages.0.content"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages.0.content.0.text"),
        ([result(), HELLO], "messages.0.tool_call_id"),
        ([calling(call()), result(None), HELLO], "messages.1.tool_call_id"),
        ([calling(call()), result("c2"), HELLO], "messages.1.tool_call_id"),
        ([calling(call()), result(), result(), HELLO], "messages.2.tool_call_id"),
        ([calling(call()), HELLO], "messages.1"),
        ([calling(call()), HELLO, result(), HELLO], "messages.1"),
        ([calling(call(), call()), result(), HELLO], "messages.0.tool_calls.1.id"),
        ([calling(call(arguments="{")), result(), HELLO], "messages.0.tool_calls.0.function.arguments"),
        ([calling(call(arguments="[1]")), result(), HELLO], "messages.0.tool_calls.0.function.arguments"),
        ([calling(call(arguments='{"x":NaN}')), result(), HELLO], "messages.0.tool_calls.0.function.arguments"),
        (
            [calling(call(arguments='{"x":' + "[" * 500 + "]" * 500 + "}")), result(), HELLO],
            "messages.0.tool_calls.0.function.arguments",
        ),
    ],
)
def test_what_no_model_could_be_told_is_refused_with_its_place(messages: list[dict[str, Any]], param: str) -> None:
    with pytest.raises(ApiError) as refused:
        read(*messages)
    assert (refused.value.status, refused.value.param, refused.value.code) == (400, param, "invalid_request")


@pytest.mark.parametrize("part", [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "input_audio"}])
def test_what_is_no_text_is_refused_as_such(part: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        read({"role": "user", "content": [*parts("Look:"), part]})
    assert (refused.value.code, refused.value.param) == ("unsupported_content", "messages.0.content.1.type")
