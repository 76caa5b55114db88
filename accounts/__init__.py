"""Who may come in: the secret that signs cookies, and what a request must show to be served."""

from accounts.guard import RequestGuard
from accounts.secret import auth_secret

__all__ = ["RequestGuard", "auth_secret"]
