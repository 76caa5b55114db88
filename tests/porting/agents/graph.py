"""LangGraph: a graph whose model calls tools, until it calls none.

Every host of an agent loads every file of its directory: frameworks are imported where they are used.
"""

from typing import Any

from toolkit import AgentContext, agent


def build(ctx: AgentContext) -> Any:
    from langchain_core.tools import tool
    from langgraph.graph import START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode, tools_condition

    from toolkit.langgraph import chat_model

    @tool
    async def look_up(word: str) -> str:
        """Look a word up in the glossary."""

        async def read() -> str:
            return f"{word} is a word"

        return await ctx.step(f"look up {word}", read)

    model = chat_model(ctx).bind_tools([look_up])

    async def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode([look_up]))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")
    return graph


@agent
async def graph(ctx: AgentContext) -> None:
    """Looks words up, as a LangGraph graph."""
    from toolkit.langgraph import run_graph, saver

    await run_graph(ctx, build(ctx).compile(checkpointer=saver(ctx)))
