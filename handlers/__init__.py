"""The Chainlit side: a message becomes a job, a job's events become what the page shows."""

from handlers.install import install_chat

__all__ = ["install_chat"]
