"""Tools for the tests of the model side, loaded by real tool hosts."""

import asyncio
import os
import time
from pathlib import Path

from toolkit import AsyncToolContext, NotFinished, ToolContext, ToolError, ToolIncomplete, UploadedFile, tool


@tool
def echo(text: str) -> str:
    """Give the text back.

    A second paragraph, for those who read on.
    """
    return text


@tool
def note(ctx: ToolContext, path: str, line: str) -> str:
    """Append a line to a file, as a trace of each run."""
    with Path(path).open("a") as trace:
        trace.write(f"{line} {ctx.idempotency_key}\n")
    return f"noted {line}"


@tool
def sites(ctx: ToolContext, place: str = "") -> dict[str, object]:
    """Tell what a model's call may visit, and name a place that it may not."""
    return {"named": ctx.named_sites, "see": "https://result.example"}


@tool
def refuse() -> str:
    """Fail with a sentence."""
    raise ToolError("The moon is not full.")


@tool(run_in="process")
def crash() -> str:
    """End the process."""
    os._exit(3)


def save_lengths(ctx: ToolContext, words: list[str], ending: str) -> None:
    """Save the lengths that there are, and end as `ending` says."""
    ctx.report_progress(1, 1)  # tells nothing: how far the call came is told
    lengths = ctx.map(words, len)
    try:
        ctx.step("the last", lambda: None)
    except NotFinished as left:
        ctx.log("info", str(left))
    ctx.save_artifact("lengths.txt", " ".join(map(str, lengths)).encode())
    if ending == "fail":
        raise ToolError("The pen is dry.")
    while ending == "hang" and not ctx.cancelled:
        time.sleep(0.01)


@tool(partial=save_lengths)
def measure(ctx: ToolContext, words: list[str], ending: str = "") -> list[int]:
    """Measure words; `wait` is a word that takes for ever."""

    def one(word: str) -> int:
        while word == "wait" and not ctx.cancelled:
            time.sleep(0.01)
        ctx.report_progress(len(word), 100)
        return len(word)

    return ctx.map(words, one)


@tool
async def wait_for_ever(ctx: AsyncToolContext) -> str:
    """Report once, then wait."""
    ctx.report_progress(1, 2, "waiting")
    await asyncio.Event().wait()
    return "never"


@tool
async def ask_about(ctx: AsyncToolContext, items: list[str], limit: int = 2) -> dict[str, str]:
    """Ask the model about each item, in recorded parts."""

    async def ask(item: str) -> str:
        return await ctx.complete("Answer in one word.", item)

    answers = await ctx.map(items, ask, limit=limit)
    return dict(zip(items, answers, strict=True))


@tool
def count_up(ctx: ToolContext, path: str, to: int, budget: int) -> list[int]:
    """Count in recorded steps, each with a trace in a file, until the budget is used up."""

    def one(number: int) -> int:
        with Path(path).open("a") as trace:
            trace.write(f"{number}\n")
        return number

    counted: list[int] = []
    for number in range(to):
        if number == budget:
            raise ToolIncomplete(f"the budget of {budget} is used up", {"counted": counted})
        counted.append(ctx.step(f"{number}", lambda number=number: one(number)))  # type: ignore[misc]
    return counted


@tool
async def ask_at_a_rate(ctx: AsyncToolContext, items: list[str], requests_per_minute: float) -> list[str]:
    """Ask the model about each item, so many a minute."""
    await ctx.limit_rate(requests_per_minute=requests_per_minute)

    async def ask(item: str) -> str:
        return await ctx.complete("Answer in one word.", item)

    return await ctx.map(items, ask, limit=len(items))


@tool
def count_calls(ctx: ToolContext, key: str = "count") -> list[object]:
    """Count the conversation's calls, in a record."""
    ctx.records.put(key, (ctx.records.get(key) or 0) + 1)
    ctx.records.put("gone", 1)
    ctx.records.delete("gone")
    return [ctx.records.get(key), list(ctx.records.versions())]


@tool
def remember(ctx: ToolContext, word: str) -> str:
    """Keep a word beside those of the conversation's earlier calls."""
    with (ctx.storage / "words").open("a") as words:
        words.write(f"{word} ")
    return (ctx.storage / "words").read_text()


@tool
def remember_late(ctx: ToolContext, signals: str) -> str:
    """Keep words at once and, the first time, also after the file `go` appears: in an open file, and in a new one."""
    begun, go, done = (Path(signals) / name for name in ("begun", "go", "done"))
    words = ctx.storage / "words"
    with words.open("a") as kept:
        if begun.exists():
            return words.read_text()
        kept.write("early ")
        kept.flush()
        begun.touch()
        while not go.exists():
            time.sleep(0.01)
        kept.write("late ")
    words.parent.mkdir(parents=True, exist_ok=True)
    words.write_text("later ")
    done.touch()
    return "lost"


@tool
def index_documents(documents: list[UploadedFile]) -> str:
    """Put documents into an index of one."""
    return f"{len(documents)} documents are indexed."


@tool
def search_documents(query: str) -> dict[str, object]:
    """Find passages, always the same."""
    passage = {"source": "log.txt", "place": "page 3", "text": "The mast broke at noon."}
    return {"summary": "- The mast broke at noon. [log.txt, page 3]", "passages": [passage], "query": query}


@tool
def save(ctx: ToolContext, name: str) -> str:
    """Save a small artifact."""
    ctx.save_artifact(name, b"a,b\n1,2\n")
    return name


@tool
def read(ctx: ToolContext, document: UploadedFile) -> str:
    """Give the content of a file, and the names of all files of the conversation."""
    names = ", ".join(file.name for file in ctx.files)
    return f"{document.path.read_text()} (of {names})"


@tool
def summarize_documents(documents: list[UploadedFile], focus: str = "") -> dict[str, object]:
    """Summarise files."""
    return {"summary": f"- A point of {documents[0].name} [p. 1]", "focus": focus, "remarks": ["One page is blank."]}


@tool(run_in="process")
def wait_for_file(ctx: ToolContext, file: str) -> str:
    """Wait until there is such a file."""
    ctx.log("info", "looking")
    while not Path(file).exists():
        time.sleep(0.02)
    return "found"


@tool(limits=["budget"])
def pay(ctx: ToolContext, bill: str, what: str, budget: int) -> str:
    """Pay with the call's key, and then find that the budget is too small."""
    with Path(bill).open("a") as lines:
        lines.write(f"{ctx.idempotency_key}\n")
    if budget < 10:
        raise ToolError("The budget is used up.")
    return what
