"""The HTTP API: jobs, files, tools, Deep Chat, OpenAI; health and metrics."""

from api.api_or_chat import ApiOrChat
from api.app import create_api

__all__ = ["ApiOrChat", "create_api"]
