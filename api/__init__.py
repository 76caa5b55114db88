"""The HTTP API: jobs, files, tools, Deep Chat, OpenAI; health and metrics."""

from api.app import create_api
from api.doors import Doors

__all__ = ["Doors", "create_api"]
