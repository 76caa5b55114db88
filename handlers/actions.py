"""The buttons under a message."""

from __future__ import annotations

from typing import Any

RETRY = "retry"


def retry_action(job_id: str, *, for_id: str) -> dict[str, Any]:
    """Retry, under the message that says how the job ended. Its id is the job's: it can be taken off again."""
    return {
        "id": f"{RETRY}:{job_id}",
        "name": RETRY,
        "payload": {"job_id": job_id},
        "label": "Retry",
        "tooltip": "Go on from the last finished step",
        "icon": "refresh-cw",
        "forId": for_id,
    }
