"""Names that several packages must write alike. Every package may import them."""

from __future__ import annotations

import re

SHARED_USER = "local"
"""The one user of a server without a login; no user can log in under this name."""
CHAT = "chat"
"""The task of a job that the default agent answers; any other task is the name of an agent or a tool."""
MODEL = "model"
"""The task of a job that is one call of a model, with the caller's messages and nothing of ours."""
ASSISTANT = "assistant"
"""The built-in agent."""
DIRECT_CALL = "call:0"
"""The step that calls the tool, in a job whose task is a tool."""
KEY_LINE = re.compile(r"(?P<digest>[0-9a-f]{64}) (?P<expires>\d{1,11}|never) (?P<name>\S(?:.*\S)?)")
"""A line of the file of API keys: the key's SHA-256, the Unix second from which it is refused, its user."""
REASONING = ("reasoning_content", "reasoning")
"""The fields in which endpoints send a model's reasoning; OpenAI's API has none for it."""
