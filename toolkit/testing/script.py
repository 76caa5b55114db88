"""The model of a test: answers that the author wrote, in order."""

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from toolkit.agent_context import Call, Reply
from toolkit.errors import ToolError
from toolkit.wire import JSON


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What the model was asked."""

    system: str
    """The system prompt of an agent, the instruction of a tool's `complete`."""
    messages: Sequence[Mapping[str, JSON]]
    """In OpenAI's form; for `complete` the material, as a message of the user."""
    tools: Sequence[str] = ()
    """Names of the tools that it may call."""
    model: str | None = None
    """The model that the agent named."""
    parameters: Mapping[str, JSON] = field(default_factory=dict)
    """Of chat completions, such as `temperature`."""

    @property
    def text(self) -> str:
        """The content of the last message."""
        return str(self.messages[-1].get("content", "")) if self.messages else ""


Answer: TypeAlias = str | Call | Reply | ToolError | Sequence[str | Call]
"""A text, a call, several of these in one answer, a whole Reply, or an error that the model fails with."""
Scripted: TypeAlias = Answer | Callable[[Prompt], Answer | Awaitable[Answer]]
Model: TypeAlias = Sequence[Scripted] | Callable[[Prompt], Answer | Awaitable[Answer]]
"""One answer for each model call, or a function that returns each answer."""


class Script:
    """Returns the answers of one run."""

    def __init__(self, model: Model) -> None:
        if isinstance(model, str):
            raise TypeError(f"model is {model!r}: pass a list, with an answer for each time that the model is asked")
        self._every = model if callable(model) else None
        self._left: deque[Scripted] = deque(() if callable(model) else model)
        self._count = len(self._left)
        self.prompts: list[Prompt] = []

    async def ask(self, prompt: Prompt, is_over: Callable[[], bool]) -> Reply:
        """Raises ToolError if the script says so, and AssertionError when it has no more answers.

        is_over: whether the attempt has ended meanwhile; then the next attempt gets this answer.
        """
        self.prompts.append(prompt)
        scripted: Any = self._next(prompt)
        try:
            answer = scripted(prompt) if callable(scripted) else scripted
            if inspect.isawaitable(answer):
                answer = await answer
        except asyncio.CancelledError:
            self._withdraw(prompt, scripted)
            raise
        if is_over():
            self._withdraw(prompt, scripted)
        if isinstance(answer, ToolError):
            raise answer
        return _reply(answer)

    def _next(self, prompt: Prompt) -> Scripted:
        if self._every is not None:
            return self._every
        if not self._left:
            raise AssertionError(
                f"the model was asked {len(self.prompts)} times, and the test has {self._count} answers for it "
                f"(`model=[…]`); the last time it was asked: {prompt.text[:200]!r}"
            )
        return self._left.popleft()

    def _withdraw(self, prompt: Prompt, scripted: Scripted) -> None:
        self.prompts[:] = [one for one in self.prompts if one is not prompt]
        if self._every is None:
            self._left.appendleft(scripted)


def _reply(answer: object) -> Reply:
    if isinstance(answer, Reply):
        return replace(answer, finish_reason="tool_calls") if answer.calls else answer
    parts = [answer] if isinstance(answer, str | Call) else answer
    if not isinstance(parts, Sequence) or not all(isinstance(part, str | Call) for part in parts):
        raise TypeError(f"the model's answer is {answer!r:.200}: it is a text, a Call, a list of them, or a Reply")
    calls = tuple(part for part in parts if isinstance(part, Call))
    text = "".join(part for part in parts if isinstance(part, str))
    return Reply(text=text, calls=calls, finish_reason="tool_calls" if calls else "stop")
