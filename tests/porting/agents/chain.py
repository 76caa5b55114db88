"""LangChain: a runnable, whose parts are a prompt, a model and a parser."""

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from toolkit import AgentContext, agent
from toolkit.langchain import chat_model

TITLE = ChatPromptTemplate.from_messages([("user", "Find a title for {subject}.")])
ANSWER = ChatPromptTemplate.from_messages([("system", "Write about {title}."), ("user", "{text}")])


@agent
async def chain(ctx: AgentContext) -> None:
    """Finds a title and writes under it, as a LangChain runnable."""
    subject = ctx.text.partition(",")[0]
    title = await (TITLE | chat_model(ctx, show=False) | StrOutputParser()).ainvoke({"subject": subject})
    await (ANSWER | chat_model(ctx)).ainvoke({"text": ctx.text, "title": title})
