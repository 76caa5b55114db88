"""The public description of a tool: enough to offer it, to check its arguments and to document it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

RunIn: TypeAlias = Literal["thread", "process", "loop"]


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
    """It saves what there is when it is stopped."""
    limits: tuple[str, ...] = ()
    """Parameters that say how far a call may go, not what it does: another value is no other work."""

    def to_json(self) -> dict[str, Any]:
        """Returns the form that a worker publishes."""
        return asdict(self)
