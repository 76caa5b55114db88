"""Questions on a text file."""

from toolkit import SyncAgentContext, ToolError, agent


def passages(text: str) -> list[str]:
    return [part.strip() for part in text.split("\n\n") if part.strip()]


def best(question: str, found: list[str]) -> str:
    words = set(question.lower().split())
    return max(found, key=lambda passage: len(words & set(passage.lower().split())))


@agent
def librarian(ctx: SyncAgentContext) -> None:
    """Answers questions on a text file."""
    if not ctx.files:
        raise ToolError("Attach a text file to your message.")
    file = ctx.files[-1]
    passage = best(ctx.text, passages(file.path.read_text()))
    ctx.source(file.name, file=file)
    ctx.generate(f"Answer from this passage of {file.name}:\n\n{passage}")
