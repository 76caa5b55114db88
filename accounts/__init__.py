"""Who may come in: passwords, API keys, the secret that signs cookies, and what a request must show to be served."""

from accounts.addresses import is_local, network_of
from accounts.buckets import Buckets
from accounts.guard import RequestGuard
from accounts.keys import ApiKeys
from accounts.limits import BodyLimit
from accounts.secret import auth_secret
from accounts.users import UsersFile

__all__ = ["ApiKeys", "BodyLimit", "Buckets", "RequestGuard", "UsersFile", "auth_secret", "is_local", "network_of"]
