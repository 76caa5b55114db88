"""What the outside knows of a tool: enough to offer it, to check a call of it and to document it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

RunIn: TypeAlias = Literal["thread", "process", "loop"]


@dataclass(frozen=True, kw_only=True)
class ToolSpec:
    """One line of the catalogue."""

    name: str
    description: str
    """The docstring."""
    parameters: dict[str, Any]
    """JSON Schema of the arguments."""
    run_in: RunIn
    timeout_seconds: float | None = None
    memory_mb: int | None = None
    """Of the call's own process; None: no limit."""
    takes_context: bool = True

    def to_json(self) -> dict[str, Any]:
        """As a worker publishes it."""
        return asdict(self)
