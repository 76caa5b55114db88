"""LangGraph's graphs as agents: `await run_graph(ctx, build(chat_model(ctx)).compile())`. For agents' authors, who
install requirements-langgraph.txt."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any, Protocol

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from toolkit.agent_context import AgentContext
from toolkit.errors import ToolError
from toolkit.langchain import SHOWN, chat_model
from toolkit.wire import JSON

__all__ = ["chat_model", "run_graph", "saver"]

MAX_STEPS = 100
"""Supersteps of one run, unless the config says otherwise. LangGraph's own limit is 25."""


class Graph(Protocol):
    """What `StateGraph(…).compile()` returns."""

    checkpointer: Any

    async def ainvoke(self, input: Any, config: Any = None) -> Any: ...


class Saver(InMemorySaver):
    """A checkpointer that keeps a graph's last state for the conversation's next answer. `saver(ctx)` makes one."""

    def __init__(self, ctx: AgentContext, name: str) -> None:
        super().__init__()
        self._ctx = ctx
        self._key = f"langgraph/{name}"

    async def restore(self, thread_id: str) -> bool:
        """Load the state of the last complete answer. Returns whether there is one.

        Reading it is a step, so that an answer that runs again does not read the state that it has stored itself.
        """
        kept = await self._ctx.step("read the graph's state", self._kept)
        if kept is None:
            return False
        checkpoint, metadata = (self.serde.loads_typed((kind, base64.b64decode(data))) for kind, data in kept)
        await self.aput(_config(thread_id), checkpoint, metadata, checkpoint["channel_versions"])
        return True

    async def keep(self, thread_id: str) -> None:
        """Store the last state. If it exceeds the limits of records, it is not stored, and the log says so."""
        found = await self.aget_tuple(_config(thread_id))
        if found is None:
            return
        written = (self.serde.dumps_typed(part) for part in (found.checkpoint, found.metadata))
        state = [[kind, base64.b64encode(data).decode()] for kind, data in written]
        try:
            await asyncio.to_thread(self._ctx.records.put, self._key, state)
        except ToolError as error:
            self._ctx.log("warning", f"The graph's state was not kept for the next message: {error}")

    async def _kept(self) -> JSON:
        return await asyncio.to_thread(self._ctx.records.get, self._key)


def saver(ctx: AgentContext, name: str = "graph") -> Saver:
    """Returns a checkpointer that keeps the graph's state from one answer of the conversation to the next.

    name: distinguishes the states of several graphs in one conversation. Within an answer, the state needs no record:
    after a crash, the graph runs again from its first node, and the recorded results of its models, `ctx.step` and
    `ctx.call` are read back from the job.
    """
    return Saver(ctx, name)


async def run_graph(
    ctx: AgentContext, graph: Graph, input: Mapping[str, Any] | None = None, *, config: Mapping[str, Any] | None = None
) -> Any:
    """Run a compiled graph once, and return its last state.

    input: the graph's input; None for `{"messages": …}` with the conversation, or with only its newest message if
    `saver(ctx)` has a state to continue from. The text of `chat_model(ctx)` streams into the answer. The text of the
    last message is written if it was not shown yet, because another model wrote it. Nodes run one at a time, because
    an agent's checkpoints are identified by their order.
    """
    own = {"recursion_limit": MAX_STEPS, **(config or {}), "max_concurrency": 1}
    own["configurable"] = {"thread_id": ctx.thread_id or "job", **own.get("configurable", {})}
    kept = graph.checkpointer if isinstance(graph.checkpointer, Saver) else None
    thread_id = str(own["configurable"]["thread_id"])
    goes_on = kept is not None and await kept.restore(thread_id)
    state = await graph.ainvoke(_asked(ctx, input, goes_on=goes_on), own)
    if kept is not None:
        await kept.keep(thread_id)
    ctx.write(_unshown(state))
    return state


def _asked(ctx: AgentContext, input: Mapping[str, Any] | None, *, goes_on: bool) -> dict[str, Any]:
    if input is not None:
        return dict(input)
    return {"messages": ctx.messages[-1:] if goes_on else ctx.messages}


def _config(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}


def _unshown(state: Any) -> str:
    messages = state.get("messages", []) if isinstance(state, Mapping) else []
    last = messages[-1] if messages else None
    if not isinstance(last, AIMessage) or last.response_metadata.get(SHOWN):
        return ""
    return str(last.text)
