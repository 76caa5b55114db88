"""Who may come in: the secret that signs cookies, and what a request must show to be served."""

from accounts.guard import RequestGuard
from accounts.limits import BodyLimit
from accounts.secret import auth_secret

__all__ = ["BodyLimit", "RequestGuard", "auth_secret"]
