"""The offline model: answers when no language model is configured, and says so.

It chooses tools by the user's words and file types, presents their results, and summarises by extraction. It is an
ordinary LangChain chat model, so that the whole app works without an account.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable

from language.aggregates import ASKS_FOR_SQL, Table, sql_for
from language.ranking import Question, Unit, best
from language.sentences import sentences as split
from language.terms import Terms, language_of
from models.calls import TokenStream
from models.extract import follow_instruction, summary
from models.faults import Fault
from models.replies import OWN_CALL
from models.routing import LONG_TEXT, NAMING_CHARACTERS, SUMMARY, Call, File, Request, Tool, route
from toolkit.markdown import escaped

WORDS_PER_SECOND = 60.0
MAX_SECONDS = 6.0
"""Longer answers stream faster, to end within this time."""
LONG_TEXT_WHEN_ASKED = 200
"""Minimum characters of a pasted text that the user wants summarised."""
MAX_SENTENCES = 6
"""The maximum number of quoted passages of a search."""

NOT_CONNECTED = "No language model is connected."
WITHOUT_ONE = f"{NOT_CONNECTED} Answers are quoted from your files or counted in them, not written."
"""Shown once in a conversation."""
QUOTING_TOOL = "quote_documents"
HOW_TO_CONNECT = (
    "To talk to a real model, set `OPENAI_API_KEY` (or `OPENAI_BASE_URL` for a local one, such as Ollama) and start "
    "Longhaul again."
)


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
            return Answer(text=_followed(str(messages[0].text), str(messages[-1].text)))
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


def _followed(instruction: str, material: str) -> str:
    """Follows the instruction of a tool: a query in SQL, or sentences of the material."""
    if not instruction.startswith(ASKS_FOR_SQL):
        return follow_instruction(instruction, material)
    described = json.loads(material)
    question = str(described["question"])
    tables = [Table.of(table) for table in described["tables"]]
    return sql_for(question, tables, Terms(language_of(question))) or "NONE"


def answer_chat(messages: Sequence[BaseMessage], tools: Sequence[Tool]) -> Answer:
    results = list(takewhile(lambda one: isinstance(one, ToolMessage), reversed(messages)))
    asked_for = [one for one in reversed(results) if not str(getattr(one, "tool_call_id", "")).startswith(OWN_CALL)]
    if asked_for:
        return Answer(text="\n\n".join(present(result) for result in asked_for))
    question = next(message for message in reversed(messages) if isinstance(message, HumanMessage))
    words = str(question.additional_kwargs.get("words", question.text))
    request = Request(words=words, attached=_files_of(question), known=_known_files(messages), tools=tools)
    call = route(request)
    answer = _found(request, call, results) or _routed(call) or _own_answer(words, tools)
    if NOT_CONNECTED in answer.text or any(
        NOT_CONNECTED in str(one.text) for one in messages if isinstance(one, AIMessage)
    ):
        return answer
    return replace(answer, text="\n\n".join([WITHOUT_ONE, answer.text]).strip())


def _found(request: Request, call: Call | None, results: Sequence[BaseMessage]) -> Answer | None:
    """Returns the results of the search for the question, unless the user sent files or has another request."""
    if request.attached or (call is not None and call.tool != QUOTING_TOOL):
        return None
    for result in results:
        if getattr(result, "status", "") != "error" and (
            quoted := _quoted(request.words, json.loads(str(result.text)).get("passages") or [])
        ):
            return Answer(text=quoted)
    return None


def _quoted(words: str, passages: Sequence[Mapping[str, Any]]) -> str:
    """Returns the sentences of the passages that answer the question, each with its source and place."""
    terms = Terms(language_of(" ".join(str(passage["text"]) for passage in passages)))
    units = [
        Unit(text=sentence, heading=str(passage.get("place") or ""), block=number, document=number)
        for number, passage in enumerate(passages)
        for sentence in split(str(passage["text"]), terms.language)
    ]
    chosen = best(Question.of(words, terms), units, terms, limit=MAX_SENTENCES)
    lines = []
    for number in dict.fromkeys(units[index].document for index in chosen):
        said = " … ".join(escaped(units[index].text) for index in sorted(chosen) if units[index].document == number)
        place = ", ".join(
            escaped(str(passages[number][name])) for name in ("source", "place") if passages[number].get(name)
        )
        lines.append(f"- {said} [{place}]")
    return "\n".join(lines)


def _routed(call: Call | None) -> Answer | None:
    if call is None:
        return None
    if call.missing:
        listed = ", ".join(f"`{name}`" for name in call.missing)
        return Answer(text=f"`{call.tool}` needs {listed}: write `{call.tool} {call.missing[0]}=…`.")
    return Answer(text="", tool=call.tool, arguments=call.arguments)


def _files_of(message: BaseMessage) -> list[File]:
    return list(message.additional_kwargs.get("files", []))


def _known_files(messages: Sequence[BaseMessage]) -> list[File]:
    """Returns all files of the conversation, the newest last; each tells which message it came with."""
    return [{**file, "message": str(number)} for number, message in enumerate(messages) for file in _files_of(message)]


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
        return "\n\n".join([value["summary"], *(f"> {remark}" for remark in value.get("remarks", []))])
    return f"The result of `{result.name}`:\n\n{_markdown(value)}"


def _own_answer(words: str, tools: Sequence[Tool]) -> Answer:
    text, asked = _pasted(words)
    if len(text) >= (LONG_TEXT_WHEN_ASKED if asked else LONG_TEXT):
        return Answer(text=summary(text, points=6, opening=False))
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
        "Without a model, you can attach documents or tables and ask about them, have them summarised or compared, "
        "paste a long text to get its key sentences, or name a tool with its arguments, such as `tool_name key=value`.",
    ]
    if tools:
        lines = [f"- `{tool['name']}`: {tool['description'].strip().splitlines()[0]}" for tool in tools]
        paragraphs.append("\n".join(["Tools:", "", *lines]))
    return "\n\n".join(paragraphs)


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
