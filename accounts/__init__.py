"""Access control: passwords, API keys, the secret that signs cookies, checks on requests, security headers of pages."""

from accounts.addresses import is_local, network_of
from accounts.buckets import Buckets
from accounts.guard import RequestGuard
from accounts.https import keep_to_https
from accounts.keys import ApiKeys, KeysFile
from accounts.limits import BodyLimit
from accounts.pages import NO_SNIFFING, page_headers
from accounts.secret import auth_secret
from accounts.users import UsersFile

__all__ = [
    "NO_SNIFFING",
    "ApiKeys",
    "BodyLimit",
    "Buckets",
    "KeysFile",
    "RequestGuard",
    "UsersFile",
    "auth_secret",
    "is_local",
    "keep_to_https",
    "network_of",
    "page_headers",
]
