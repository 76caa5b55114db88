"""Names that several packages must write alike. Every package may import them."""

from __future__ import annotations

SHARED_USER = "local"
"""The one user of a server without a login; nobody can log in under this name."""
CHAT = "chat"
"""The task of a job that answers a message; any other task is a tool's name."""
DIRECT_CALL = "call:0"
"""The step that calls the tool, in a job whose task is a tool."""
