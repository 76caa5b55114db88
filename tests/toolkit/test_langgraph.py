"""LangGraph and LangChain in an agent: what a graph keeps for the next answer, what a chain asks of the model."""

import operator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from toolkit import AgentContext, Call, agent, testing
from toolkit.agent_context import Message

LONG = "x" * 2_000_000
EARLIER: list[Message] = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "First."}]


@agent
async def remembering(ctx: AgentContext, note: str = "noted") -> None:
    """Answers, and keeps a note with each answer."""
    from langgraph.graph import START, MessagesState, StateGraph

    from toolkit.langgraph import chat_model, run_graph, saver

    class State(MessagesState):
        notes: Annotated[list[str], operator.add]

    async def answer(state: State) -> dict[str, Any]:
        return {"messages": [await chat_model(ctx).ainvoke(state["messages"])], "notes": [note]}

    graph = StateGraph(State)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    state = await run_graph(ctx, graph.compile(checkpointer=saver(ctx)))
    ctx.write(f"\n\n{len(state['notes'])} notes, {len(state['messages'])} messages")


async def test_a_graph_goes_on_from_the_state_that_the_last_answer_left() -> None:
    first = await testing.run(remembering, "One?", model=["First."])
    assert first.text == "First.\n\n1 notes, 2 messages"
    second = await testing.run(remembering, "Two?", model=["Second."], history=EARLIER, records=first.records)
    assert second.text == "Second.\n\n2 notes, 4 messages"
    asked = [message["content"] for message in second.prompts[0].messages]
    assert asked == ["One?", "First.", "Two?"]


async def test_an_answer_that_begins_again_does_not_go_on_from_the_state_that_it_left_itself() -> None:
    first = await testing.run(remembering, "One?", model=["First."])
    for again in await testing.crash_everywhere(remembering, "Two?", model=["Second."], records=first.records):
        assert again.text == "Second.\n\n2 notes, 4 messages"


async def test_a_graph_without_a_state_gets_the_whole_conversation() -> None:
    run = await testing.run(remembering, "Two?", model=["Second."], history=EARLIER)
    assert run.text == "Second.\n\n1 notes, 4 messages"


@pytest.mark.parametrize(("note", "kept"), [("short", True), (LONG, False)])
async def test_a_state_beyond_the_limit_of_a_record_is_told_and_the_answer_stands(note: str, kept: bool) -> None:
    run = await testing.run(remembering, "One?", model=["First."], note=note)
    assert run.text.startswith("First.")
    assert bool(run.records) == kept
    assert [level for level, _ in run.logs] == ([] if kept else ["warning"])


class Word(BaseModel):
    """A word of the answer."""

    word: str


@agent
async def structured(ctx: AgentContext) -> None:
    """Answers in a form."""
    from toolkit.langchain import chat_model

    model = chat_model(ctx, show=False)
    found = await model.with_structured_output(Word).ainvoke("Which word?")
    assert isinstance(found, Word)
    ended = await model.bind(temperature=0, stop=["END"]).ainvoke(found.word)
    ctx.write(f"{found.word}: {ended.text}")


async def test_a_forced_form_and_other_parameters_of_a_chain_reach_the_model() -> None:
    run = await testing.run(structured, "Hi", model=[Call("Word", word="sea"), "wet"])
    assert run.text == "sea: wet"
    form, plain = run.prompts
    assert (form.tools, form.parameters["tool_choice"]) == (["Word"], "required")
    assert plain.parameters == {"temperature": 0, "stop": ["END"]}
