"""A direct model call as a durable job, with only the caller's messages, tools and parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import openai
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages

from jobs.context import JobContext, Step
from jobs.errors import JobIncomplete, StepFailed
from jobs.models import JSON
from models.calls import Ask, storable
from models.models import Models
from models.patience import patience_of
from models.rates import book
from models.replies import CUT_OFF, ModelReply

STEP = "model:1"
BESIDES = ("refusal", "tool_calls", "reasoning", "logprobs", "usage_details")
"""What an answer may have beside its text."""
MAX_SENTENCE = 300
"""The maximum number of characters of an endpoint's refusal that are passed on."""
REFUSED = "request_refused"
MAX_LOGPROBS = 20_000
"""Tokens whose probabilities are kept."""


async def pass_through(ctx: JobContext, models: Models) -> JSON:
    """Returns `{"text"}`, and `refusal`, `tool_calls`, `logprobs` and `usage_details` if the model sent any.

    A tool call is `{"id", "name", "arguments"}`; the arguments are the text that the model wrote. Beside calls,
    `reasoning` is the field with the model's reasoning, which some endpoints require with the results. Raises
    `JobIncomplete` when the model reached its limit, `StepFailed` when it fails.
    """
    request = ctx.job.request

    async def run(step: Step) -> JSON:
        reply = await models.chat(
            _ask(request.arguments, offline=models.settings.offline),
            model=request.model,
            on_text=step.text,
            on_reasoning=step.reasoning,
            patience=patience_of(step, request.patience_seconds),
            room=step.room,
            sent_bytes=0,
        )
        await book(ctx, models.settings.rate, reply.tokens)
        return _recorded(reply, ctx.job.id)

    output = await ctx.step(STEP, run, name=request.model or models.settings.model, kind="model")
    if (usage := output["usage"]) is not None:
        ctx.add_usage(usage["input_tokens"], usage["output_tokens"])
    result = {"text": output["text"], **{name: output[name] for name in BESIDES if output.get(name)}}
    if output["finish_reason"] in CUT_OFF:
        raise JobIncomplete(output["finish_reason"], result)
    return result


def _ask(asked: Mapping[str, Any], *, offline: bool) -> Ask:
    messages: Sequence[Mapping[str, Any]] = asked["messages"]

    async def ask_offline(model: BaseChatModel) -> BaseMessage:
        return await model.ainvoke(convert_to_messages([dict(message) for message in messages]))

    async def ask(model: BaseChatModel) -> BaseMessage:
        verbatim = {**asked.get("parameters", {}), "messages": messages}
        try:
            return await model.ainvoke([HumanMessage("")], verbatim=verbatim)
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            if (sentence := _sentence(error)) is None:
                raise
            raise StepFailed(REFUSED, f"The model endpoint refused the request: {sentence}") from error

    return ask_offline if offline else ask


def _sentence(error: openai.APIStatusError) -> str | None:
    """Returns the endpoint's message about the caller's parameters; None if they are not the cause."""
    said = error.body.get("message") if isinstance(error.body, dict) else None
    if not isinstance(said, str) or "stream_options" in said:
        return None
    return " ".join(storable(said).split())[:MAX_SENTENCE]


def _recorded(reply: ModelReply, job_id: str) -> dict[str, JSON]:
    calls = [call.for_caller(job_id, index) for index, call in enumerate(reply.calls)]
    logprobs = {"logprobs": _storable(reply.logprobs)} if reply.logprobs else {}
    refusal = {"refusal": reply.refusal} if reply.refusal else {}
    return {**reply.as_json(), "tool_calls": calls, **refusal, **logprobs, **_details(reply)}


def _details(reply: ModelReply) -> dict[str, JSON]:
    if not (reply.cached_tokens or reply.reasoning_tokens):
        return {}
    return {"usage_details": {"cached_tokens": reply.cached_tokens, "reasoning_tokens": reply.reasoning_tokens}}


def _storable(logprobs: Sequence[JSON]) -> JSON:
    """Tokens may be halves of characters, and an impossible one has the logarithm -Infinity."""
    return json.loads(storable(json.dumps(list(logprobs[:MAX_LOGPROBS]))), parse_constant=lambda _: None)
