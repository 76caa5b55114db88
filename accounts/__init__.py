"""Who is who: the one local user, the secret that signs cookies, and what a request must show to be served."""

from accounts.guard import RequestGuard
from accounts.secret import auth_secret

LOCAL_USER = "local"
"""The only user where no login is set up."""

__all__ = ["LOCAL_USER", "RequestGuard", "auth_secret"]
