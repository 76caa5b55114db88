"""The server's HTTP API: sends the environment's key, raises every refusal as one sentence."""

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Self

import httpx
from httpx_sse import SSEError

URL = "LONGHAUL_URL"
KEY = "LONGHAUL_API_KEY"
VARIABLES = (URL, KEY)
DEFAULT_URL = "http://127.0.0.1:8000"
CONNECT_SECONDS = 10
SILENCE_SECONDS = 75
"""Longer than any time between two heartbeats of the server; after this the connection is dead."""
AWAY = frozenset({429, 502, 503, 504})
"""Temporary statuses: a busy server, a starting one, and a proxy that finds none."""
BUSY_PAUSES = (0.5, 1, 2, 4)
"""Seconds before each new call of a busy server, at least."""
MAX_PAUSE_SECONDS = 10
PAGE = 100
WHOLE_ID = re.compile(r"job_[0-9a-f]{24}")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

Job = Mapping[str, Any]
Tool = Mapping[str, Any]


class Refused(Exception):
    """The command was refused; the message is for the person who called."""


class Unreachable(Refused):
    """The server cannot answer now; the same call may work later."""

    def __init__(self, sentence: str, *, retry_after: float = 0) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after
        """Seconds that the server asked to wait."""


class Server:
    """`with Server(url) as server:`. Its methods raise `Refused`."""

    def __init__(self, url: str | None = None) -> None:
        self.url = (url or os.environ.get(URL) or DEFAULT_URL).rstrip("/")
        address = address_of(self.url)
        self._client = httpx.Client(
            base_url=address,
            headers=headers_of(os.environ.get(KEY, "")),
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
            trust_env=address.host not in LOOPBACK,  # a proxy cannot reach a server on this machine's loopback
            event_hooks={"response": [_check]},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Returns the JSON of the response, None if it is empty. Asks a busy server again."""
        for pause in BUSY_PAUSES:
            try:
                return self._once(method, path, options)
            except Unreachable as busy:
                if not busy.retry_after:
                    raise
                time.sleep(min(max(busy.retry_after, pause), MAX_PAUSE_SECONDS))
        return self._once(method, path, options)

    def _once(self, method: str, path: str, options: Mapping[str, Any]) -> Any:
        with self._reaching():
            response = self._client.request(method, path, **options)
            return response.json() if response.content else None

    @contextlib.contextmanager
    def stream(self, path: str, headers: Mapping[str, str] | None = None) -> Iterator[httpx.Response]:
        """Yields the response while it comes; reading it raises `Unreachable` after a cut."""
        with self._reaching(), self._client.stream("GET", path, headers=headers) as response:
            yield response

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (SSEError, ValueError):  # no event stream, no JSON
            raise Refused(f"The server at {self.url} is not a Longhaul server.") from None
        except httpx.HTTPError:
            sentence = f"{self.url} does not answer: start the server, or name another with --url or {URL}."
            raise Unreachable(sentence) from None

    def events(self, job_id: str, after: int = 0) -> AbstractContextManager[httpx.Response]:
        """Returns the stream of a job's events behind that one."""
        return self.stream(f"/api/jobs/{job_id}/events", {"Last-Event-ID": str(after)})

    def job(self, job_id: str) -> Job:
        """Returns the job as it stands."""
        job: Job = self.call("GET", f"/api/jobs/{job_id}")
        return job

    def jobs(self, limit: int, **query: str | None) -> list[Job]:
        """Returns the newest jobs, from as many responses as it takes."""
        wanted: dict[str, Any] = {name: value for name, value in query.items() if value}
        found: list[Job] = []
        while len(found) < limit:
            page = self.call("GET", "/api/jobs", params={**wanted, "limit": min(limit - len(found), PAGE)})
            found += page["data"]
            if not page["has_more"]:
                break
            wanted["before"] = found[-1]["id"]
        return found

    def tools(self) -> dict[str, Tool]:
        """Returns the tools, by name."""
        return {str(tool["name"]): tool for tool in self.call("GET", "/api/tools")["data"]}

    def agents(self) -> dict[str, Tool]:
        """Returns the agents, by name."""
        return {str(agent["name"]): agent for agent in self.call("GET", "/api/agents")["data"]}

    def tool(self, name: str) -> Tool:
        """Returns the tool of that name."""
        tools = self.tools()
        if name not in tools:
            raise Refused(f"There is no tool {name!r}; choose one of: {', '.join(['chat', *self.agents(), *tools])}.")
        return tools[name]

    def whole_id(self, text: str) -> str:
        """Returns the id that begins with the text, which may lack `job_`."""
        if WHOLE_ID.fullmatch(text):
            return text
        if not re.fullmatch(r"[\w.:-]{1,200}", text, re.ASCII):
            raise Refused(f"{text!r} is not the id of a job: see ./scripts/jobs ls.")
        fitting = [job["id"] for job in self.jobs(PAGE) if job["id"].startswith((text, f"job_{text}"))]
        if len(fitting) > 1:
            raise Refused(f"{text!r} fits {len(fitting)} jobs: type more of the id.")
        return fitting[0] if fitting else text


def address_of(url: str) -> httpx.URL:
    """Returns the address. Raises `Refused`."""
    with contextlib.suppress(httpx.InvalidURL):
        address = httpx.URL(url)
        if address.scheme in {"http", "https"} and address.host:
            return address
    raise Refused(f"{url!r} is not the address of a server, such as {DEFAULT_URL}.")


def headers_of(key: str) -> dict[str, str]:
    """Returns the headers of all calls. Raises `Refused`."""
    if key and not re.fullmatch(r"[!-~]+", key):
        raise Refused(f"{KEY} must be one word of ASCII characters.")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _check(response: httpx.Response) -> None:
    """Raises `Refused` if the response is no success."""
    if response.is_success:
        return
    response.read()
    sentence = _sentence(response)
    if response.status_code in AWAY:
        again = response.headers.get("retry-after", "")
        raise Unreachable(sentence, retry_after=float(again) if again.isascii() and again.isdigit() else 1.0)
    raise Refused(sentence)


def _sentence(response: httpx.Response) -> str:
    """Returns what the server says of its refusal, for people."""
    if response.status_code == httpx.codes.UNAUTHORIZED:
        if "authorization" in response.request.headers:
            return f"The server does not know the key in {KEY}."
        return f"The server requires a key: put it into the variable {KEY}."
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered with the status {response.status_code}."
