"""Who may come in by a provider, and which user they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from chainlit.user import User

from handlers.chat_store import ChatStore
from handlers.oauth import OAuthLogin, OAuthRules
from services.lifecycle import Lifecycle
from tests.conftest import model_environment
from tests.endpoint import Endpoint
from tests.handlers.test_login import LoginServer, oauth_log_in, who
from tests.identity import IdentityProvider

ADA: dict[str, dict[str, Any]] = {
    "google": {"id": "7", "email": "Ada@Example.org", "verified_email": True, "name": "Ada L."},
    "github": {"id": 7, "login": "ada", "emails": [{"email": "ada@example.org", "verified": True}]},
    "auth0": {"sub": "a|7", "email": "ada@example.org", "email_verified": True},
    "aws-cognito": {"sub": "7", "email": "ada@example.org", "email_verified": "true", "cognito:groups": ["staff"]},
    "keycloak": {"sub": "7", "email": "ada@example.org", "email_verified": True, "groups": ["/staff"]},
    "azure-ad": {"id": "7", "userPrincipalName": "ada@example.org", "mail": "boss@example.com"},
}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ChatStore]:
    async with ChatStore(f"sqlite+aiosqlite:///{tmp_path / 'chat.db'}") as store:
        yield store


async def admitted(
    store: ChatStore, provider: str, allow: str, said: dict[str, Any], *, name: str = "", one_tenant: bool = False
) -> str | None:
    lifecycle = Lifecycle()
    rules = OAuthRules(allow=allow.split(), subject_field=None, one_tenant=one_tenant)
    default = User(identifier=name)
    with lifecycle.serving(store):
        user = await OAuthLogin(lifecycle, rules).user(provider, "token", said, default)
    return None if user is None else str(user.identifier)


@pytest.mark.parametrize("provider", sorted(ADA))
async def test_an_account_is_its_subject_whatever_its_name(store: ChatStore, provider: str) -> None:
    subject = ADA[provider].get("sub", 7)
    for name in ("ada", "another name"):
        assert await admitted(store, provider, "*", ADA[provider], name=name) == f"{provider}:{subject}"
    assert await admitted(store, provider, "*", {"email": "ada@example.org"}) is None


@pytest.mark.parametrize("provider", ["google", "github", "auth0", "aws-cognito", "keycloak"])
@pytest.mark.parametrize("entry", ["ada@example.org", "ADA@EXAMPLE.ORG", "@example.org", "example.org"])
async def test_confirmed_addresses_and_their_domains_come_in(store: ChatStore, provider: str, entry: str) -> None:
    assert await admitted(store, provider, entry, ADA[provider])


@pytest.mark.parametrize("provider", sorted(ADA))
@pytest.mark.parametrize("entry", ["ada@example.com", "@ample.org", "org", "@sub.example.org", "boss@example.com"])
async def test_others_do_not(store: ChatStore, provider: str, entry: str) -> None:
    assert await admitted(store, provider, entry, ADA[provider], one_tenant=True) is None


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("google", {"verified_email": False}),
        ("auth0", {"email_verified": False}),
        ("auth0", {"email_verified": None}),
        ("aws-cognito", {"email_verified": "false"}),
        ("github", {"emails": [{"email": "ada@example.org", "verified": False}]}),
        ("github", {"emails": [], "email": "ada@example.org"}),
    ],
)
async def test_an_address_that_is_not_confirmed_never_counts(
    store: ChatStore, provider: str, said: dict[str, Any]
) -> None:
    assert await admitted(store, provider, "ada@example.org @example.org", ADA[provider] | said) is None


async def test_microsofts_names_count_in_ones_own_tenant_only(store: ChatStore) -> None:
    assert await admitted(store, "azure-ad", "@example.org", ADA["azure-ad"]) is None
    assert await admitted(store, "azure-ad", "@example.org", ADA["azure-ad"], one_tenant=True) == "azure-ad:7"


@pytest.mark.parametrize("provider", ["keycloak", "aws-cognito"])
async def test_groups_come_in(store: ChatStore, provider: str) -> None:
    assert await admitted(store, provider, "staff", ADA[provider])
    assert await admitted(store, provider, "group:staff", ADA[provider])
    assert await admitted(store, provider, "group:staf stafff", ADA[provider]) is None


async def test_the_first_account_with_a_former_name_keeps_its_user_and_no_other_gets_it(store: ChatStore) -> None:
    await store.save_user("google:ada@example.org", {})
    known = ADA["google"]

    async def comes(subject: str, *, confirmed: bool = True, name: str = "ada@example.org") -> str | None:
        said = known | {"id": subject} | ({} if confirmed else {"verified_email": None})
        return await admitted(store, "google", "*", said, name=name)

    assert await comes("6", confirmed=False) == "google:6", "an address that nobody confirmed"
    assert await comes("7") == "google:ada@example.org"
    assert await comes("8") == "google:8", "the address was given to somebody else"
    assert await comes("7", name="ada@new.example") == "google:ada@example.org"


@pytest.mark.parametrize(
    ("picture", "kept"),
    [("https://provider.example/ada.png", None), ("data:image/png;base64,AA==", "data:image/png;base64,AA==")],
)
async def test_a_providers_picture_comes_with_its_user_or_not_at_all(
    store: ChatStore, picture: str, kept: str | None
) -> None:
    """The page would load it from another site."""
    lifecycle = Lifecycle()
    rules = OAuthRules(allow=["*"], subject_field=None, one_tenant=False)
    default = User(identifier="ada", metadata={"provider": "google", "image": picture})
    with lifecycle.serving(store):
        user = await OAuthLogin(lifecycle, rules).user("google", "token", ADA["google"], default)
    assert user is not None
    assert (user.metadata["provider"], user.metadata.get("image")) == ("google", kept)


class RestrictedServer(LoginServer):
    """Only people of one domain, and those of a group, may come in."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(folder, environment | {"LONGHAUL_OAUTH_ALLOW": "@example.org, staff"})


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestrictedServer]:
    with IdentityProvider() as provider, Endpoint() as endpoint:
        server = RestrictedServer(tmp_path_factory.mktemp("oauth"), provider.environment | model_environment(endpoint))
        yield server
        server.stop()
        server.check_log()


@pytest.fixture
async def server(kept: RestrictedServer) -> RestrictedServer:
    if not kept.log():
        await kept.start()
    return kept


@asynccontextmanager
async def came_in(server: LoginServer, code: str) -> AsyncIterator[httpx.AsyncClient]:
    async with server.browser() as browser:
        await oauth_log_in(browser, code)
        yield browser


@pytest.mark.parametrize(
    ("code", "user"),
    [
        ("7=ada@example.org", "generic:7"),
        ("8=eve@example.com", None),
        ("8=eve@example.org:silent", None),
        ("9=bob@example.com:staff", "generic:9"),
    ],
)
async def test_the_provider_says_who_it_is_and_the_operator_who_may_come_in(
    server: RestrictedServer, code: str, user: str | None
) -> None:
    async with came_in(server, code) as browser:
        assert await who(browser) == user
        answer = await browser.get("/user")
        assert user is None or answer.json()["display_name"] == code.partition("=")[2].partition(":")[0]


async def test_who_is_taken_off_the_list_is_out(server: RestrictedServer) -> None:
    async with came_in(server, "7=ada@example.org") as ada, came_in(server, "9=bob@example.com:staff") as bob:
        server.kill_web()
        await server.start(LONGHAUL_OAUTH_ALLOW="staff")
        assert [await who(ada), await who(bob)] == [None, "generic:9"]
