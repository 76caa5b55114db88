"""LangChain: a runnable, whose parts are a prompt, a model and a parser."""

from toolkit import AgentContext, agent

TITLE = "Find a title for {subject}."
ANSWER = [("system", "Write about {title}."), ("user", "{text}")]


@agent
async def chain(ctx: AgentContext) -> None:
    """Finds a title and writes under it, as a LangChain runnable."""
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate

    from toolkit.langchain import chat_model

    find = ChatPromptTemplate.from_template(TITLE) | chat_model(ctx, show=False) | StrOutputParser()
    write = ChatPromptTemplate.from_messages(ANSWER) | chat_model(ctx)
    title = await find.ainvoke({"subject": ctx.text.partition(",")[0]})
    await write.ainvoke({"title": title, "text": ctx.text})
