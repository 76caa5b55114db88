"""Longhaul's models for LangChain: `prompt | chat_model(ctx) | parser`. Each model call is a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from toolkit.agent_context import AgentContext, Reply

SHOWN = "shown"
"""In a message's metadata: its text is already part of the answer."""


def chat_model(ctx: AgentContext, *, show: bool = True, model: str | None = None) -> ContextModel:
    """Returns a LangChain chat model whose calls are checkpoints of the agent.

    show: whether its text streams into the answer. model: its name; None for the model that the user chose. Call it
    with `ainvoke` or `astream`, one call at a time. Bind tools to it; it is not offered those of the agent.
    """
    return ContextModel(ctx=ctx, show=show, chosen=model)


class ContextModel(BaseChatModel):
    """A model that the agent's worker calls. Bound parameters are passed on."""

    ctx: Any
    show: bool
    chosen: str | None

    @property
    def _llm_type(self) -> str:
        return "longhaul"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        **parameters: Any,
    ) -> Runnable[Any, AIMessage]:
        chosen = {"tool_choice": _chosen(tool_choice)} if tools and tool_choice else {}
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **chosen, **parameters)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - the worker streams the text
        *,
        tools: Sequence[dict[str, Any]] = (),
        **bound: Any,
    ) -> ChatResult:
        asked: Any = convert_to_openai_messages(messages)
        parameters = {name: value for name, value in bound.items() if not name.startswith("ls_")}
        if stop:
            parameters["stop"] = stop
        reply = await self.ctx.generate(
            messages=asked, tools=tools, show=self.show, model=self.chosen, parameters=parameters
        )
        return ChatResult(generations=[ChatGeneration(message=_message(reply, shown=self.show))])

    def _generate(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError("chat_model(ctx) is asked by `await model.ainvoke(…)`, not by `model.invoke(…)`.")


def _chosen(choice: dict[str, Any] | str | bool) -> Any:
    """Returns LangChain's choice of a tool as OpenAI's."""
    if choice in (True, "any"):
        return "required"
    if isinstance(choice, str) and choice not in ("auto", "none", "required"):
        return {"type": "function", "function": {"name": choice}}
    return choice


def _message(reply: Reply, *, shown: bool) -> AIMessage:
    calls = [{"id": call.id, "name": call.name, "args": dict(call.arguments)} for call in reply.calls]
    given, written = reply.input_tokens, reply.output_tokens
    counted = given is not None and written is not None
    usage = UsageMetadata(
        input_tokens=given or 0, output_tokens=written or 0, total_tokens=(given or 0) + (written or 0)
    )
    return AIMessage(
        content=reply.text,
        tool_calls=json.loads(json.dumps(calls)),
        response_metadata={"finish_reason": reply.finish_reason, SHOWN: shown},
        usage_metadata=usage if counted else None,
    )
