"""The buttons under a message."""

from __future__ import annotations

from typing import Any

RETRY = "retry"
CHANGE = "change_arguments"
SUBMIT = "submit_form"
"""Called by the form's own button."""


def retry_action(job_id: str, *, for_id: str) -> dict[str, Any]:
    """Returns Retry, for the message that says how the job ended. The job's id in its id allows removing it later."""
    return _action(RETRY, job_id, for_id, "Retry", "Continue from the last finished step", "refresh-cw")


def change_action(job_id: str, *, for_id: str) -> dict[str, Any]:
    """Returns the button beside Retry that opens the tool's form again."""
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
