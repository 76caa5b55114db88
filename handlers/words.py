"""The sentences that the chat itself says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobs import JSON

BAR_CELLS = 20


def describe_progress(progress: Mapping[str, JSON]) -> str:
    """`▰▰▰▱▱ 3 of 12 · reading`; without a total only the count."""
    done, total, message = progress["done"], progress["total"], progress["message"]
    if total:
        filled = round(BAR_CELLS * min(max(done / total, 0), 1))
        count = f"`{'▰' * filled}{'▱' * (BAR_CELLS - filled)}` {done:g} of {total:g}"
    else:
        count = f"{done:g} done"
    return f"{count} · {message}" if message else count


def describe_stopped(stopped: Sequence[Mapping[str, JSON]]) -> str:
    """Says what a cancel stopped and how long that took."""
    inner = [one for one in stopped if not any(other["step"].startswith(f"{one['step']}/") for other in stopped)]
    kinds = {"model": "the model's answer", "tool": "the tool {name}", "part": "{name}"}
    named = [kinds[one["kind"]].format(name=one["name"]) + f" (within {one['seconds']:.1f} s)" for one in inner[:3]]
    if len(inner) > len(named):
        named.append(f"{len(inner) - len(named)} more")
    return f"Stopped: {', '.join(named)}." if named else "Stopped before it began."


def without_surrogates(text: str) -> str:
    """Half a character, as a broken paste may hold, can be neither stored nor sent on."""
    return text.encode("utf-8", "replace").decode()
