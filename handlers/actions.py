"""The buttons under a message."""

from __future__ import annotations

from typing import Any

RETRY = "retry"
SUBMIT = "submit_form"
"""Called by the form's own button."""


def retry_action(job_id: str, *, for_id: str) -> dict[str, Any]:
    """Returns Retry, for the message that says how the job ended. The job's id in its id allows removing it later."""
    return {
        "id": f"{RETRY}:{job_id}",
        "name": RETRY,
        "payload": {"job_id": job_id},
        "label": "Retry",
        "tooltip": "Continue from the last finished step",
        "icon": "refresh-cw",
        "forId": for_id,
    }
