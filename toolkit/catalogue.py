"""The public description of a tool or agent: enough to offer it, to check its arguments and to document it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

RunIn: TypeAlias = Literal["thread", "process", "loop"]
Kind: TypeAlias = Literal["tool", "agent"]


@dataclass(frozen=True, kw_only=True)
class ToolSpec:
    """One tool of the catalogue."""

    name: str
    description: str
    """The function's docstring."""
    parameters: dict[str, Any]
    """JSON Schema of the arguments."""
    run_in: RunIn
    timeout_seconds: float | None = None
    memory_mb: int | None = None
    """The memory limit of the call's own process; None for no limit."""
    takes_context: bool = True
    has_partial: bool = False
    """It saves its finished work when it is stopped."""
    limits: tuple[str, ...] = ()
    """Parameters that only limit how far a call may go: with another value, the work is still the same."""

    kind: Kind = "tool"

    def to_json(self) -> dict[str, Any]:
        """Returns the form that a worker publishes."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class AgentSpec(ToolSpec):
    """One agent of the catalogue. Its parameters are settings: each has a default."""

    kind: Kind = "agent"
    tools: tuple[str, ...] | None = None
    """Names of the tools that its models may call; None for all."""
    starters: tuple[str, ...] = ()
    """Messages that a new conversation suggests."""
    is_default: bool = False
    """It answers if no agent was chosen."""


def spec_of(told: Mapping[str, Any]) -> ToolSpec:
    """Returns the spec of its JSON form."""
    lists = {name: tuple(told[name]) for name in ("limits", "tools", "starters") if told.get(name) is not None}
    return (AgentSpec if told["kind"] == "agent" else ToolSpec)(**{**told, **lists})
