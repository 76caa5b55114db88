"""Stores the chat's users and their feedback on answers."""

from handlers.chat_store.store import ChatStore

__all__ = ["ChatStore"]
