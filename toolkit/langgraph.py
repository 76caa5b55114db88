"""LangGraph's graphs as agents: `await run_graph(ctx, build(chat_model(ctx)).compile())`. For agents' authors, who
install requirements-langgraph.txt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver

from toolkit.agent_context import AgentContext
from toolkit.langchain import SHOWN, chat_model

__all__ = ["chat_model", "run_graph", "saver"]

MAX_STEPS = 100
"""Supersteps of one run, unless the config says otherwise. LangGraph's own limit is 25."""


class Graph(Protocol):
    """What `StateGraph(…).compile()` returns."""

    async def ainvoke(self, input: Any, config: Any = None) -> Any: ...


def saver(ctx: AgentContext) -> Any:  # noqa: ARG001 - a saver belongs to one run of one agent
    """Returns a checkpointer that lasts as long as the function runs.

    That is enough: after a crash the graph runs again from its first node, and what its models, and its `ctx.step` and
    `ctx.call`, returned is read back from the job. A second record, of states, could contradict the first.
    """
    return InMemorySaver()


async def run_graph(
    ctx: AgentContext, graph: Graph, input: Mapping[str, Any] | None = None, *, config: Mapping[str, Any] | None = None
) -> Any:
    """Run a compiled graph once, and return its last state.

    input: of the graph; None for the conversation as `{"messages": …}`. What `chat_model(ctx)` says streams into the
    answer. The text of the last message is written if it was not shown yet, because no model of ours wrote it. Nodes
    run one at a time: an agent's checkpoints are known by their order.
    """
    asked = dict(input) if input is not None else {"messages": ctx.messages}
    own = {"recursion_limit": MAX_STEPS, **(config or {}), "max_concurrency": 1}
    own["configurable"] = {"thread_id": ctx.thread_id or "job", **own.get("configurable", {})}
    state = await graph.ainvoke(asked, own)
    ctx.write(_unshown(state))
    return state


def _unshown(state: Any) -> str:
    messages = state.get("messages", []) if isinstance(state, Mapping) else []
    last = messages[-1] if messages else None
    if not isinstance(last, AIMessage) or last.response_metadata.get(SHOWN):
        return ""
    return str(last.text)
