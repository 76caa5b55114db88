"""A tool that says what it is told, and what it reads."""

from toolkit import ToolContext, tool


@tool
def quote(ctx: ToolContext, text: str = "") -> str:
    """Say the text, then what the files of the conversation say."""
    return "\n\n".join([text, *(ctx.open(file).read().decode() for file in ctx.files)])
