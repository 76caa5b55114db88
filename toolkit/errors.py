"""What can go wrong with a tool, split by what happens next.

    ToolkitError
    ├── ToolError                  a sentence for the person who called the tool; authors raise it too
    │   ├── ToolArgumentsInvalid   the arguments do not fit the tool: say which, do not run it
    │   ├── ToolUnknown            no tool of that name is loaded
    │   ├── ToolCrashed            the tool's process ended under it (os._exit, a segfault, out of memory)
    │   ├── ToolIncomplete         the tool stops with what it has; a retry goes on from there; authors raise it
    │   ├── ToolTimeout            the tool ran into its own timeout_seconds
    │   ├── ToolHostsUnavailable   no tool host could be started
    │   └── RequestFailed          inside a tool: the worker could not do what the context asked for
    ├── ToolDefinitionError        a tool file that cannot be offered; its author reads this at start
    └── NotJson                    a value that cannot leave the tool
    CallCancelled                  inside a tool: the call was cancelled (`except Exception` lets it pass)

Any other exception of a tool becomes a ToolError "The tool x failed unexpectedly."; its traceback goes to stderr only.
"""

from collections.abc import Mapping
from typing import Any


class ToolkitError(Exception):
    """Base of everything this package raises on purpose."""


class ToolError(ToolkitError):
    """A clear sentence for the person: `raise ToolError("The table has no column 'price'.")`."""


class ToolArgumentsInvalid(ToolError):
    """The arguments do not fit the tool's signature; `fields` has a sentence for the path of each wrong one."""

    def __init__(self, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields: dict[str, str] = dict(fields or {})


class ToolIncomplete(ToolError):
    """The tool stops before its end, with a result: `raise ToolIncomplete("the budget is used up", {"rows": 812})`.

    The reason is a sentence without its full stop, the result JSON. Finished steps and parts are kept: a retry,
    perhaps with other arguments, goes on from them.
    """

    def __init__(self, reason: str, result: Any = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.result = result


class ToolUnknown(ToolError):
    """There is no tool of that name."""


class ToolCrashed(ToolError):
    """The process that ran the tool ended, and this call was alone in it."""


class ToolTimeout(ToolError):
    """The tool was stopped at its own `timeout_seconds`."""


class ToolHostsUnavailable(ToolError):
    """No tool host could be started, or the pool is closed."""


class RequestFailed(ToolError):
    """A request of a tool to its worker failed; `request` names it, so that the worker can raise the cause itself."""

    def __init__(self, message: str, request: int) -> None:
        super().__init__(message)
        self.request = request


class ToolDefinitionError(ToolkitError):
    """A function that cannot be a tool; the message says what to change."""


class NotJson(ToolkitError):
    """A value that JSON cannot carry; the message completes the sentence "… is not JSON: "."""


class CallCancelled(BaseException):
    """The call was cancelled: leave. Every method of the context raises it from then on."""
