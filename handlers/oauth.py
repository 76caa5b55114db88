"""Logins by an OAuth provider: identifies the user and decides on access."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chainlit.user import User

import audit
from handlers.callers import ALLOWED_BY, LOGIN, one_login
from handlers.chat_store import ChatStore
from services.lifecycle import Lifecycle

ANYBODY = "*"
GROUP = "group:"
SUBJECT_CHARACTERS = 200
SUBJECTS: Mapping[str, Sequence[str]] = {"github": ("id",), "google": ("id",), "azure-ad": ("id",)}
"""The field with which a provider names an account for good; OpenID Connect's is `sub`."""
OPENID = ("sub", "id")
GROUPS = ("groups", "cognito:groups")
CONFIRMED = ("email_verified", "verified_email")
TRUE = (True, "true")
"""Cognito writes it as text."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """A provider's data about the user who logs in."""

    subject: str
    name: str
    """For people to read; it may change, and be another's later."""

    addresses: frozenset[str]
    """E-mail addresses that the provider has confirmed, in lower case."""

    groups: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class OAuthRules:
    """The rules of access, and the claim that identifies users."""

    allow: Sequence[str]
    """The entries of `LONGHAUL_OAUTH_ALLOW`."""

    subject_field: str | None
    """The claim that identifies users of the generic provider, if the operator names one."""

    one_tenant: bool
    """Whether Microsoft's accounts are those of one tenant, which has confirmed their names."""


class OAuthLogin:
    """Chainlit's callback for logins by OAuth."""

    def __init__(self, lifecycle: Lifecycle, rules: OAuthRules) -> None:
        self._lifecycle = lifecycle
        self._rules = rules

    async def user(
        self, provider_id: str, token: str, raw_user_data: dict[str, Any], default_user: User
    ) -> User | None:  # the parameters' names are Chainlit's
        """Returns the user `provider:subject`, which neither another provider nor the users file can produce."""
        del token
        person = self._person(provider_id, raw_user_data, default_user)
        entry = None if person is None else next((one for one in self._rules.allow if admits(one, person)), None)
        if person is None or entry is None:
            audit.record("login refused", who=audit.NOBODY, provider=provider_id)
            return None
        subject = f"{provider_id}:{person.subject}"
        former = f"{provider_id}:{former_name(person, default_user)}"
        identifier = await self._lifecycle.get(ChatStore).identity(subject, former)
        audit.record("logged in", who=identifier, provider=provider_id)
        metadata = {"provider": provider_id, ALLOWED_BY: entry_digest(entry), LOGIN: one_login()}
        if (picture := str(default_user.metadata.get("image"))).startswith("data:"):
            metadata["image"] = picture  # the page does not load pictures from other sites
        return User(identifier=identifier, display_name=person.name, metadata=metadata)

    def _person(self, provider: str, said: Mapping[str, Any], default: User) -> Person | None:
        """Returns None for a user whose address the provider calls unconfirmed, or who has no permanent id."""
        fields = SUBJECTS.get(provider, (self._rules.subject_field,) if self._rules.subject_field else OPENID)
        subject = next((str(said[field]) for field in fields if said.get(field) not in (None, "")), "")
        if not subject or not subject.isprintable() or len(subject) > SUBJECT_CHARACTERS:
            return None
        if any(said.get(field) in (False, "false") for field in CONFIRMED):
            return None
        name = str(said.get("name") or default.identifier or subject)
        return Person(
            subject=subject,
            name=name if name.isprintable() else subject,
            addresses=frozenset(address.lower() for address in self._addresses(provider, said)),
            groups=frozenset(_groups(said)),
        )

    def _addresses(self, provider: str, said: Mapping[str, Any]) -> Iterable[str]:
        if provider == "github":
            return [str(one.get("email")) for one in said.get("emails", ()) if one.get("verified") is True]
        if provider == "azure-ad":  # whose `mail` the administrator of any tenant can set to any value
            return [str(said.get("userPrincipalName"))] if self._rules.one_tenant else []
        return [str(said.get("email"))] if any(said.get(field) in TRUE for field in CONFIRMED) else []


def former_name(person: Person, default: User) -> str:
    """Returns the name by which earlier versions knew the user; an address only if it is confirmed."""
    name = str(default.identifier or "")
    return name if name and ("@" not in name or name.lower() in person.addresses) else person.subject


def admits(entry: str, person: Person) -> bool:
    """`*`, `group:name`, `name@domain`, `@domain` or `domain`, or else the name of a group."""
    if entry == ANYBODY:
        return True
    if entry.startswith(GROUP):
        return entry.removeprefix(GROUP) in person.groups
    if entry.rpartition("@")[0]:
        return entry.lower() in person.addresses
    if "@" in entry or "." in entry:
        return any(address.rpartition("@")[2] == entry.lower().removeprefix("@") for address in person.addresses)
    return entry in person.groups


def entry_digest(entry: str) -> str:
    """Returns what a token keeps of the entry that let its user in, so that taking the entry away ends the login."""
    return hashlib.sha256(entry.encode()).hexdigest()[:16]


def _groups(said: Mapping[str, Any]) -> Iterable[str]:
    """Keycloak writes them as paths: `/staff`."""
    for field in GROUPS:
        named = said.get(field)
        if isinstance(named, list):
            yield from (name.removeprefix("/") for name in named if isinstance(name, str))
