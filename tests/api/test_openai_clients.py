"""The clients that people have: OpenAI's for Python and for Node, and LangChain's."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
import pytest_asyncio
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import SecretStr

from tests.api.conftest import KEYS
from tests.endpoint import script
from tests.server import Server

MODEL = "test-model"
NODE_CLIENT = "openai@6.49.0"
NODE_SCRIPT = Path(__file__).with_name("openai_client.mjs")
AI_SDK = ("ai@7.0.173", "@ai-sdk/open-responses@1.0.39", "@ai-sdk/openai@4.0.118", "zod@4")
AI_SDK_SCRIPT = Path(__file__).with_name("ai_sdk_client.mjs")
INSTALL_SECONDS = 120


def asking(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


@pytest_asyncio.fixture(loop_scope="session")
async def python(api_server: Server) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{api_server.url}/v1", api_key=KEYS["ada"], max_retries=0) as client:
        yield client


@pytest.fixture
def langchain(api_server: Server) -> ChatOpenAI:
    key = SecretStr(KEYS["ada"])
    return ChatOpenAI(model=MODEL, base_url=f"{api_server.url}/v1", api_key=key, max_retries=0, stream_usage=True)


async def test_the_python_client_lists_the_model(python: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in python.models.list()] == [MODEL, "assistant"]


async def test_the_python_client_gets_a_whole_answer(python: openai.AsyncOpenAI) -> None:
    answer = await python.chat.completions.create(model=MODEL, messages=asking("tokens=3"), temperature=0.5)
    assert answer.choices[0].message.content == "w0 w1 w2 "
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


async def test_the_python_client_reads_a_stream_with_heartbeats(python: openai.AsyncOpenAI) -> None:
    chunks = await python.chat.completions.create(
        model=MODEL,
        messages=asking("tokens=4 hang=0.7@2"),
        stream=True,
        stream_options={"include_usage": True},
    )
    *told, last = [chunk async for chunk in chunks]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in told) == "w0 w1 w2 w3 "
    assert last.usage is not None
    assert last.usage.completion_tokens == 4


async def test_the_python_clients_own_accumulation_is_the_answer(python: openai.AsyncOpenAI) -> None:
    async with python.chat.completions.stream(model=MODEL, messages=asking("tokens=3")) as stream:
        answer = await stream.get_final_completion()
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("w0 w1 w2 ", "stop")


async def test_the_python_client_is_told_of_a_failure_in_mid_stream(python: openai.AsyncOpenAI) -> None:
    question = asking(script("tokens=4 error=2"))
    chunks = await python.chat.completions.create(model=MODEL, messages=question, stream=True)
    told: list[str | None] = []
    with pytest.raises(openai.APIError, match="reported an error") as failure:
        await collect(chunks, told)
    assert "".join(text or "" for text in told) == "w0 w1 "
    assert failure.value.code == "model_error"


async def collect(chunks: openai.AsyncStream[ChatCompletionChunk], told: list[str | None]) -> None:
    async for chunk in chunks:
        told.append(chunk.choices[0].delta.content)  # noqa: PERF401  # what came before the failure counts


@pytest.mark.parametrize("stream", [False, True])
async def test_the_python_client_raises_the_error_of_its_kind(python: openai.AsyncOpenAI, stream: bool) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await python.chat.completions.create(model="gpt-99", messages=asking("Hello"), stream=stream)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        await python.with_options(api_key="wrong").chat.completions.create(
            model=MODEL, messages=asking("Hello"), stream=stream
        )
    with pytest.raises(openai.BadRequestError) as wrong:
        await python.chat.completions.create(model=MODEL, messages=[], stream=stream)
    assert wrong.value.param == "messages"


async def test_langchain_gets_a_whole_answer_with_usage(langchain: ChatOpenAI) -> None:
    answer = await langchain.ainvoke([("system", "Be brief."), ("human", "tokens=3")])
    assert answer.text == "w0 w1 w2 "
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 3


async def test_langchain_reads_a_stream_with_usage(langchain: ChatOpenAI) -> None:
    chunks = [chunk async for chunk in langchain.astream("tokens=4 rate=20")]
    assert "".join(chunk.text for chunk in chunks) == "w0 w1 w2 w3 "
    assert sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata) == 4


async def test_the_node_client_gets_answers_streams_and_errors(api_server: Server) -> None:
    folder = await installed(NODE_CLIENT)
    node_script = str(shutil.copy(NODE_SCRIPT, folder))  # where its imports are found
    seen = json.loads(await run("node", node_script, f"{api_server.url}/v1", KEYS["ada"], MODEL))
    assert seen == {
        "models": [MODEL, "assistant"],
        "whole": "w0 w1 w2 ",
        "tokens": 3,
        "streamed": "w0 w1 w2 w3 ",
        "streamedTokens": 4,
        "helped": "w0 w1 ",
        "unknown": [404, "model_not_found"],
        "broken": [None, "model_error"],
        "refused": [401, "invalid_api_key"],
        "tool": "The tool answered: wet in sea w0 ",
        "toolRounds": ["look_up"],
        "response": ["function_call"],
        "responseEvents": True,
        "wentOn": "The tool answered: wet w0 ",
    }


async def test_the_ai_sdks_providers_call_tools_through_us_at_both_doors(api_server: Server) -> None:
    folder = await installed(*AI_SDK)
    program = str(shutil.copy(AI_SDK_SCRIPT, folder))
    seen = json.loads(await run("node", program, f"{api_server.url}/v1", KEYS["ada"], MODEL))
    assert seen["chat"] == {"text": "s0 The tool answered: wet in sea w0 ", "steps": 2, "words": ["sea"]}
    assert seen["responses"] == seen["chat"]
    assert seen["openResponses"] == seen["chat"]
    assert seen["agent"] == seen["chat"]


async def installed(*packages: str) -> Path:
    """Installed once for all test runs of this machine's temporary directory."""
    folder = Path(tempfile.gettempdir()) / f"longhaul-tests-{packages[min(1, len(packages) - 1)].replace('/', '-')}"
    for program in ("node", "npm"):
        assert shutil.which(program), f"{program} is missing: install Node.js 20 or newer to test its OpenAI clients"
    if not (folder / "node_modules" / ".package-lock.json").exists():
        options = ("--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--loglevel=error")
        await run("npm", "install", "--prefix", str(folder), *options, *packages)
    return folder


async def run(*command: str) -> str:
    """What the command prints."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(INSTALL_SECONDS):
        out, err = await process.communicate()
    assert process.returncode == 0, f"{command[:2]} failed: {err.decode()[-2000:]}"
    return out.decode()
