"""The buttons under a message."""

from __future__ import annotations

from typing import Any

RETRY = "retry"
CHANGE = "change_arguments"
SUBMIT = "submit_form"
"""The form calls it by itself: it has a button of its own."""


def retry_action(job_id: str, *, for_id: str) -> dict[str, Any]:
    """Retry, under the message that says how the job ended. Its id is the job's: it can be taken off again."""
    return _action(RETRY, job_id, for_id, "Retry", "Go on from the last finished step", "refresh-cw")


def change_action(job_id: str, *, for_id: str) -> dict[str, Any]:
    """Opens the tool's form again, beside Retry."""
    return _action(CHANGE, job_id, for_id, "Change arguments", "Open the form with these arguments", "pencil")


def _action(name: str, job_id: str, for_id: str, label: str, tooltip: str, icon: str) -> dict[str, Any]:
    return {
        "id": f"{name}:{job_id}",
        "name": name,
        "payload": {"job_id": job_id},
        "label": label,
        "tooltip": tooltip,
        "icon": icon,
        "forId": for_id,
    }
