"""The offline model: answers when no language model is configured, and says so.

It chooses tools by the user's words and file types, presents their results, and summarises by extraction. It is an
ordinary LangChain chat model, so that the whole app works without an account.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PurePath
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable

from models.calls import TokenStream
from models.extract import follow_instruction, summary
from models.faults import Fault
from models.replies import SEARCH_CALL
from toolkit.parameters import Parameter, arguments_of_files, parameters_of
from toolkit.typed import find_pairs

WORDS_PER_SECOND = 60.0
MAX_SECONDS = 6.0
"""Longer answers stream faster, to end within this time."""
LONG_TEXT, LONG_TEXT_WHEN_ASKED = 500, 200
"""Minimum characters of a pasted text that is summarised."""
NAMING_CHARACTERS = 200
"""Tool names count only within this many characters of a message; the rest may be pasted text."""

NOT_CONNECTED = "No language model is connected."
HOW_TO_CONNECT = (
    "To talk to a real model, set `OPENAI_API_KEY` (or `OPENAI_BASE_URL` for a local one, such as Ollama) and start "
    "Longhaul again."
)
BY_EXTRACTION = "These sentences are quoted from the text, chosen by word counts: no language model is connected."

DOCUMENTS = frozenset({".pdf", ".docx", ".html", ".htm", ".md", ".markdown", ".txt", ".text", ".rst"})
TABLES = frozenset({".csv", ".tsv", ".xlsx", ".parquet"})

ADDRESS = re.compile(r"https?://\S+")

Tool = Mapping[str, Any]
"""The `function` part of OpenAI's schema: name, description, parameters."""
File = Mapping[str, str]
"""Its id, name and mime."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """Words and file types that lead to a tool."""

    tool: str
    words: re.Pattern[str]
    suffixes: frozenset[str]


SUMMARY_TOOL = "summarize_documents"
ROUTES = (
    Route(
        tool=SUMMARY_TOOL,
        words=re.compile(r"summar|tl;?dr|key points|gist|digest|condense|zusammenfass|résum|resum", re.IGNORECASE),
        suffixes=DOCUMENTS,
    ),
    Route(tool="index_documents", words=re.compile(r"\bindex", re.IGNORECASE), suffixes=DOCUMENTS),
    Route(
        tool="analyze_table",
        words=re.compile(r"analy[sz]|profile|outlier|correlat|statistic", re.IGNORECASE),
        suffixes=TABLES,
    ),
)
SUMMARY = ROUTES[0].words


@dataclass(frozen=True, kw_only=True)
class Answer:
    text: str
    tool: str | None = None
    """A tool to call after the text."""
    arguments: Mapping[str, Any] | None = None


class OfflineModel(BaseChatModel):
    """A chat model. With `purpose` complete, it follows the instruction of a tool in the system message."""

    purpose: Literal["chat", "complete"] = "chat"
    words_per_second: float = WORDS_PER_SECOND
    streaming: bool = False

    @property
    def _llm_type(self) -> str:
        return "offline"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=[tool["function"] for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - the signature is LangChain's
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        chunk = _last_chunk(answer := self._answer(messages, kwargs.get("tools", ())))
        message = AIMessage(content=answer.text, tool_calls=chunk.tool_calls)
        return ChatResult(generations=[ChatGeneration(message=message, generation_info=_finish(answer))])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - the signature is LangChain's
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        # Ranking sentences is CPU-bound, hence the thread. It is short, so a cancelled call may run to its end unused.
        answer = await asyncio.to_thread(self._answer, messages, kwargs.get("tools", ()))
        async for piece in self._paced(answer.text):
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        yield ChatGenerationChunk(message=_last_chunk(answer), generation_info=_finish(answer))

    def _answer(self, messages: Sequence[BaseMessage], tools: Sequence[Tool]) -> Answer:
        if self.purpose == "complete":
            return Answer(text=follow_instruction(str(messages[0].text), str(messages[-1].text)))
        return answer_chat(messages, tools)

    async def _paced(self, text: str) -> AsyncIterator[str]:
        if self.purpose == "complete":
            yield text
            return
        words = re.findall(r"\s*\S+\s*", text)
        pause = min(1 / self.words_per_second, MAX_SECONDS / max(1, len(words)))
        for word in words:
            yield word
            await asyncio.sleep(pause)


class OfflineSource:
    """A source that returns the offline model for every name."""

    name = "offline"

    def model(self, name: str | None, purpose: Literal["chat", "complete"], stream: TokenStream) -> BaseChatModel:  # noqa: ARG002
        return OfflineModel(purpose=purpose, streaming=True, callbacks=[stream])

    def fault(self, error: Exception, stream: TokenStream) -> Fault | None:  # noqa: ARG002 - none is expected
        return None

    async def aclose(self) -> None:
        return None


def answer_chat(messages: Sequence[BaseMessage], tools: Sequence[Tool]) -> Answer:
    results = list(takewhile(lambda one: isinstance(one, ToolMessage), reversed(messages)))
    asked_for = [one for one in reversed(results) if getattr(one, "tool_call_id", "") != SEARCH_CALL]
    if asked_for:
        return Answer(text="\n\n".join(present(result) for result in asked_for))
    question = next(message for message in reversed(messages) if isinstance(message, HumanMessage))
    words = str(question.additional_kwargs.get("words", question.text))
    attached: list[File] = question.additional_kwargs.get("files", [])
    return _routed(words, attached, messages, tools) or _found(words, results) or _own_answer(words, tools)


def _found(words: str, results: Sequence[BaseMessage]) -> Answer | None:
    """Returns what the search for the question found; None if it failed, or found nothing and nothing was asked."""
    for result in results:
        if getattr(result, "status", "") == "error":
            continue
        if json.loads(str(result.text)).get("passages"):
            return Answer(
                text=f"{NOT_CONNECTED} Passages from the documents of this conversation:\n\n{present(result)}"
            )
        if _asks_something(words):
            return Answer(text=f"{NOT_CONNECTED} {present(result)}")
    return None


def present(result: BaseMessage) -> str:
    """Returns a tool's result in Markdown."""
    content = str(result.text)
    if getattr(result, "status", "") == "error":
        return f"The tool `{result.name}` reports: {content.removeprefix('Error: ')}"
    try:
        value = json.loads(content)
    except ValueError:
        return content
    if isinstance(value, dict) and isinstance(value.get("summary"), str):
        remarks = [f"> {remark}" for remark in value.get("remarks", [])]
        origin = [f"_{BY_EXTRACTION}_"] if result.name in {SUMMARY_TOOL, "map_table"} else []
        return "\n\n".join([value["summary"], *remarks, *origin])
    return f"The result of `{result.name}`:\n\n{_markdown(value)}"


def _routed(
    words: str, attached: Sequence[File], messages: Sequence[BaseMessage], tools: Sequence[Tool]
) -> Answer | None:
    offered = {tool["name"]: tool for tool in tools}
    named = _named_tool(words, tools)
    if named is not None:
        return _call(named, words, attached or _earlier_files(messages))
    if "crawl_site" in offered and re.search(r"\bcrawl", words, re.IGNORECASE) and ADDRESS.search(words):
        return _call(offered["crawl_site"], words, ())
    for route in ROUTES:
        if route.tool not in offered:
            continue
        wanted = bool(route.words.search(words))
        fitting = _fitting(attached if attached or not wanted else _earlier_files(messages), route.suffixes)
        if fitting and (wanted or not _asks_something(words)) and len(words) < LONG_TEXT:
            return _call(offered[route.tool], words, fitting)
    return None


def _own_answer(words: str, tools: Sequence[Tool]) -> Answer:
    text, asked = _pasted(words)
    if len(text) >= (LONG_TEXT_WHEN_ASKED if asked else LONG_TEXT):
        return Answer(text=f"{summary(text, points=6, opening=False)}\n\n_{BY_EXTRACTION}_")
    return Answer(text=_introduction(tools))


def _pasted(words: str) -> tuple[str, bool]:
    """Returns a message without a leading request such as “Summarize this:”, and whether there was one."""
    head = re.match(r"[^\n:]{0,120}[\n:]\s*", words)
    if head and SUMMARY.search(head.group()):
        return words[head.end() :], True
    return words, bool(SUMMARY.search(words[:NAMING_CHARACTERS]))


def _introduction(tools: Sequence[Tool]) -> str:
    paragraphs = [
        f"{NOT_CONNECTED} {HOW_TO_CONNECT}",
        "Without a model, you can paste a long text to get its key sentences, attach a document and say “summarize”, "
        "or name a tool with its arguments, such as `tool_name key=value`.",
    ]
    if tools:
        lines = [f"- `{tool['name']}`: {tool['description'].strip().splitlines()[0]}" for tool in tools]
        paragraphs.append("\n".join(["Tools:", "", *lines]))
    return "\n\n".join(paragraphs)


def _named_tool(words: str, tools: Sequence[Tool]) -> Tool | None:
    """Returns the tool that the user named, by its name or all its words. A one-word name counts only at the start."""
    said = re.findall(r"[a-z0-9_]+", words[:NAMING_CHARACTERS].lower())
    for tool in tools:
        name = tool["name"].lower()
        parts = name.split("_")
        if name in (said if len(parts) > 1 else said[:2]) or (len(parts) > 1 and set(said).issuperset(parts)):
            return tool
    return None


def _call(tool: Tool, words: str, files: Sequence[File]) -> Answer:
    parameters = parameters_of(tool["parameters"])
    arguments = _arguments(parameters, words, files)
    missing = [one.name for one in parameters if one.required and one.name not in arguments]
    if missing:
        listed = ", ".join(f"`{name}`" for name in missing)
        return Answer(text=f"{NOT_CONNECTED} `{tool['name']}` needs {listed}: write `{tool['name']} {missing[0]}=…`.")
    return Answer(text=f"{NOT_CONNECTED} Running `{tool['name']}`…", tool=tool["name"], arguments=arguments)


def _arguments(parameters: Sequence[Parameter], words: str, files: Sequence[File]) -> dict[str, Any]:
    """Collects arguments from attached files, an address, `name=value` pairs and a JSON object in the message."""
    arguments = arguments_of_files([file["id"] for file in files], parameters)
    if any(one.name == "url" for one in parameters) and (address := ADDRESS.search(words)):
        arguments["url"] = address.group().rstrip(".,;:!?)")
    return arguments | find_pairs(words, parameters).arguments(parameters) | _json_object(words)


def _json_object(words: str) -> dict[str, Any]:
    start = words.find("{")
    if start < 0:
        return {}
    try:
        value, _ = json.JSONDecoder().raw_decode(words, start)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _fitting(files: Sequence[File], suffixes: frozenset[str]) -> list[File]:
    return [file for file in files if PurePath(file["name"]).suffix.lower() in suffixes]


def _earlier_files(messages: Sequence[BaseMessage]) -> list[File]:
    """Returns the files of the newest message that has any."""
    for message in reversed(messages):
        if isinstance(message, HumanMessage) and message.additional_kwargs.get("files"):
            return list(message.additional_kwargs["files"])
    return []


def _asks_something(words: str) -> bool:
    return len(words.split()) > 3 or "?" in words


def _markdown(value: Any) -> str:
    match value:
        case dict():
            return "\n".join(f"- **{name}**: {_inline(part)}" for name, part in value.items())
        case list():
            return "\n".join(f"- {_inline(part)}" for part in value)
        case _:
            return _inline(value)


def _inline(value: Any) -> str:
    return value if isinstance(value, str) else f"`{json.dumps(value, ensure_ascii=False)}`"


def _last_chunk(answer: Answer) -> AIMessageChunk:
    calls = []
    if answer.tool is not None:
        calls = [tool_call_chunk(name=answer.tool, args=json.dumps(answer.arguments), id="call_0", index=0)]
    return AIMessageChunk(content="", tool_call_chunks=calls)


def _finish(answer: Answer) -> dict[str, str]:
    return {"finish_reason": "tool_calls" if answer.tool else "stop"}
