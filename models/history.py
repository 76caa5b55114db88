"""The conversation as the model reads it: the earlier turns of the thread, read from their logs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
    trim_messages,
)
from langchain_core.messages.utils import count_tokens_approximately

from files.errors import StoredFileNotFound
from files.store import FileStore, StoredFile
from jobs.context import JobContext, Turn
from jobs.events import JobCancelled, JobCompleted, JobFailedEvent, JobIncompleteEvent, StepFinished, StepStarted
from jobs.models import JSON, Job, JobStatus
from models.replies import ModelReply
from models.sites import named_sites, own_words
from names import REASONING

MODEL_STEP, TEXT_STEP = re.compile(r"model:(\d+)"), re.compile(r"text:(\d+)")
INDEXING_TOOLS = frozenset({"index_documents", "crawl_site"})
"""These tools make documents searchable."""
CHARACTERS_PER_TOKEN = 4
RESULT_CHARACTERS = 40_000
"""The model reads at most this much of a tool's result; the log holds all of it."""

UNANSWERED: Mapping[JobStatus, str] = {
    JobStatus.CANCELLED: "(The user stopped this answer before it was finished.)",
    JobStatus.FAILED: "(This answer failed before it was finished.)",
    JobStatus.INCOMPLETE: "(This answer was cut off.)",
}


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """The messages up to and including the user's newest, and facts about them."""

    messages: Sequence[BaseMessage]
    files: tuple[str, ...]
    """Ids of all files of the thread, oldest first."""
    trimmed: bool
    """Earlier messages were left out."""
    indexed: bool
    """A tool has put documents of this thread into its index."""
    sites: tuple[str, ...]
    """The web sites that the user has named."""

    def about(self, question: BaseMessage) -> Conversation:
        """Returns a conversation with only this question, and the same files and sites."""
        return replace(self, messages=[question], trimmed=False)


async def read_conversation(ctx: JobContext, files: FileStore, *, max_tokens: int) -> Conversation:
    """Drops the oldest messages to fit `max_tokens`, never the newest. The rest begins with a user's message."""
    turns = await ctx.history()
    requests = [job.request for job in (*(turn.job for turn in turns), ctx.job)]
    groups = [request.files for request in requests]
    known = await _known_files(groups, files, ctx.job.user)
    earlier = [message for turn in turns for message in turn_messages(turn, known)] + _brought_along(ctx.job)
    # A caller that sends the results of its tools continues after them, without a new message.
    newest = [] if ctx.job.request.arguments.get("continues") else [_question(ctx.job, known)]
    room = max(0, max_tokens - count_tokens(newest))
    kept = _fitting(earlier, room)
    return Conversation(
        messages=[*kept, *newest],
        files=tuple(known),
        trimmed=len(kept) < len(earlier),
        indexed=any(_indexed(turn) for turn in turns),
        sites=named_sites(text for one in requests for text in own_words(one, is_chat=one.is_turn)),
    )


def _fitting(messages: Sequence[BaseMessage], room: int) -> list[BaseMessage]:
    """Returns the newest messages that fit, and all system messages: their rules apply to the whole conversation."""
    talk = [message for message in messages if not isinstance(message, SystemMessage)]
    instructions = [message for message in messages if isinstance(message, SystemMessage)]
    room = max(0, room - count_tokens(instructions))
    if count_tokens(talk) <= room:
        return list(messages)
    kept = trim_messages(talk, max_tokens=room, token_counter=count_tokens, strategy="last", start_on="human")
    dropped = {id(message) for message in talk[: len(talk) - len(kept)]}
    return [message for message in messages if id(message) not in dropped]


def count_tokens(messages: Sequence[BaseMessage]) -> int:
    """Returns about how many tokens the messages have, with the reasoning that goes back to the model."""
    reasoning = sum(len(message.additional_kwargs.get(name, "")) for message in messages for name in REASONING)
    return count_tokens_approximately(messages) + reasoning // CHARACTERS_PER_TOKEN


def turn_messages(turn: Turn, files: Mapping[str, StoredFile]) -> list[BaseMessage]:
    """Returns the messages of a chat turn; for a tool that the user ran, a question and its answer."""
    if not turn.job.request.is_turn:
        return _tool_job_messages(turn)
    steps = turn.transcript.steps
    outputs = {path: step.finished.output for path, step in steps.items() if step.finished is not None}
    messages: list[BaseMessage] = [_question(turn.job, files)]
    for path, output in outputs.items():
        if MODEL_STEP.fullmatch(path) and output is not None and not output.get("hidden"):
            messages += _reply_messages(turn.job, steps[path].started, ModelReply.from_json(output), outputs)
        elif TEXT_STEP.fullmatch(path) and output is not None:
            messages.append(AIMessage(output["text"].strip()))
    if not (isinstance(messages[-1], AIMessage) and messages[-1].text):
        messages.append(AIMessage(UNANSWERED.get(turn.job.status, "(No answer.)")))
    return _joined(messages)


def _joined(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Returns the messages with consecutive texts joined, because some endpoints refuse two in a row."""
    joined: list[BaseMessage] = []
    for message in messages:
        last = joined[-1] if joined else None
        if isinstance(last, AIMessage) and isinstance(message, AIMessage) and not last.tool_calls:
            text = "\n\n".join(part for part in (last.text, message.text) if part)
            joined[-1] = message.model_copy(update={"content": text})
        else:
            joined.append(message)
    return joined


def ai_message(reply: ModelReply, *, model: str = "", prefix: str = "") -> AIMessage:
    """model: the name of the model that replied, which alone is sent its reasoning again."""
    calls = [
        {"id": prefix + call.id, "name": call.name, "args": dict(call.arguments or {}), "type": "tool_call"}
        for call in reply.calls
    ]
    return AIMessage(
        content=reply.text,
        tool_calls=calls,
        additional_kwargs=dict(reply.reasoning),
        response_metadata={"model_name": model},
    )


def tool_message(output: Mapping[str, JSON], *, call_id: str, name: str) -> ToolMessage:
    """Returns the message for `output`, as a tool step of a chat turn records it."""
    status = "error" if output.get("error") else "success"
    return ToolMessage(content=shortened(output["content"]), tool_call_id=call_id, name=name, status=status)


def content_of(value: JSON) -> str:
    """Returns a tool's value as text for the model."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def shortened(content: str) -> str:
    if len(content) <= RESULT_CHARACTERS:
        return content
    return f"{content[:RESULT_CHARACTERS]}\n… ({len(content) - RESULT_CHARACTERS} more characters were left out)"


def _reply_messages(
    job: Job, step: StepStarted, reply: ModelReply, outputs: Mapping[str, JSON]
) -> Iterable[AIMessage | ToolMessage]:
    prefix = f"turn_{job.turn}_"  # call ids start again in every turn
    yield ai_message(reply, model=step.name, prefix=prefix)
    for index, call in enumerate(reply.calls):
        output = outputs.get(f"{step.step}/call:{index}") or {"content": "(This call was not finished.)", "error": True}
        yield tool_message(output, call_id=prefix + call.id, name=call.name)


def _indexed(turn: Turn) -> bool:
    return any(
        step.started.name in INDEXING_TOOLS and step.finished is not None and not _has_failed(step.finished)
        for step in turn.transcript.steps.values()
    )


def _has_failed(finished: StepFinished) -> bool:
    """Whether the step failed. When the model called the tool, its failure is recorded in the output."""
    output = finished.output
    return finished.error is not None or (isinstance(output, dict) and bool(output.get("error")))


def _tool_job_messages(turn: Turn) -> list[BaseMessage]:
    request = turn.job.request
    question = HumanMessage(f"(I ran the tool {request.task} with {json.dumps(dict(request.arguments))}.)")
    match turn.transcript.end:
        case JobCompleted(result=result):
            answer = f"(It returned:)\n{shortened(content_of(result))}"
        case JobFailedEvent(error=error):
            answer = f"(It failed: {error['message']})"
        case JobCancelled() | JobIncompleteEvent() | None:
            answer = "(It was not finished.)"
        case end:
            assert_never(end)
    return [question, AIMessage(answer)]


def _question(job: Job, files: Mapping[str, StoredFile]) -> HumanMessage:
    """Returns the user's text and a list of the attachments. The offline model reads `additional_kwargs` instead."""
    attached = [files[file] for file in job.request.files if file in files]
    text = job.request.input or ""
    if attached:
        lines = [f"- {file.id}: {file.name} ({file.mime}, {file.size} bytes)" for file in attached]
        text = "\n".join([text, "", "Attached files:", *lines]).lstrip("\n")
    described = [{"id": file.id, "name": file.name, "mime": file.mime} for file in attached]
    return HumanMessage(content=text, additional_kwargs={"words": job.request.input or "", "files": described})


def _brought_along(job: Job) -> list[BaseMessage]:
    """Returns the earlier messages that a caller without a thread sends with each request, in OpenAI's format."""
    return convert_to_messages(job.request.arguments.get("messages") or [])


async def _known_files(groups: Iterable[Sequence[str]], files: FileStore, owner: str) -> dict[str, StoredFile]:
    """Returns files by id, without those that were deleted or belong to another user."""
    known: dict[str, StoredFile] = {}
    for file_id in dict.fromkeys(file_id for group in groups for file_id in group):
        try:
            known[file_id] = await files.get(file_id, owner)
        except StoredFileNotFound:
            continue
    return known
