"""What the chat keeps besides jobs and files: who was here, and what they thought of an answer."""

from handlers.chat_store.store import ChatStore

__all__ = ["ChatStore"]
