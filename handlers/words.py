"""The sentences that the chat itself shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import assert_never

from jobs import CUT_SHORT, JSON, NEEDS_ARGUMENTS
from jobs.events import JobCancelled, JobCompleted, JobFailedEvent, JobIncompleteEvent, StepFinished, Terminal


def describe_stopped(stopped: Sequence[Mapping[str, JSON]]) -> str:
    """Returns what a cancel stopped and how long that took."""
    inner = [one for one in stopped if not any(other["step"].startswith(f"{one['step']}/") for other in stopped)]
    kinds = {"model": "the model's answer", "tool": "the tool {name}", "part": "{name}"}
    named = [kinds[one["kind"]].format(name=one["name"]) + f" (within {one['seconds']:.1f} s)" for one in inner[:3]]
    if len(inner) > len(named):
        named.append(f"{len(inner) - len(named)} more")
    return f"Stopped: {', '.join(named)}." if named else "Stopped before it began."


def tool_output(finished: StepFinished) -> tuple[str, bool]:
    """Returns a tool call's output as Markdown, and whether it is an error."""
    if finished.error is not None:
        return str(finished.error["message"]), True
    output = finished.output
    if isinstance(output, dict) and "content" in output:
        return as_markdown(output["content"]), bool(output.get("error"))
    return as_markdown(output), False


def as_markdown(value: JSON) -> str:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    if isinstance(value, dict) and isinstance(value.get("summary"), str):
        return str(value["summary"])
    if isinstance(value, str):
        return value
    return f"```json\n{json.dumps(value, ensure_ascii=False, indent=2)}\n```"


def describe_end(end: Terminal, *, answered: bool, on_card: bool) -> str:
    """Returns what the user sees at the end, besides the answer. A card shows how the job ended, and why."""
    match end:
        case JobFailedEvent(error=error):
            return "" if on_card else error["message"]
        case JobCancelled(stopped=stopped):
            return "" if on_card else describe_stopped(stopped)
        case JobIncompleteEvent(reason=reason) if reason == NEEDS_ARGUMENTS:
            return ""  # the form shows it
        case JobIncompleteEvent(reason=reason, result=result):
            told = describe_result(result, answered=answered)
            return told if on_card else "\n\n".join([part for part in (told, describe_reason(reason)) if part])
        case JobCompleted(result=result):
            return describe_result(result, answered=answered)
        case _:
            assert_never(end)


def describe_reason(reason: str) -> str:
    """Returns why an answer is incomplete."""
    return CUT_SHORT.get(reason, f"The answer is incomplete: {reason}.")


def describe_result(result: JSON, *, answered: bool) -> str:
    """Returns a job's result as Markdown; empty when the page shows it already."""
    if answered or result is None or (isinstance(result, dict) and "text" in result and not result["text"]):
        return ""
    return as_markdown(result["text"] if isinstance(result, dict) and "text" in result else result)


def iso(at: float) -> str:
    """Returns a time in Chainlit's format: UTC, with a Z."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def without_surrogates(text: str) -> str:
    """Replaces lone surrogates, as a broken paste may contain: they can be neither stored nor sent."""
    return text.encode("utf-8", "replace").decode()
