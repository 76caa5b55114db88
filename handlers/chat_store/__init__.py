"""Stores the chat's users, their feedback on answers, and which logins have ended."""

from handlers.chat_store.store import ChatStore

__all__ = ["ChatStore"]
