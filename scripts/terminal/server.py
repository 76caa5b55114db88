"""The HTTP API for the commands: sends the environment's key, raises every refusal as one sentence."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

import httpx

URL = "LONGHAUL_URL"
KEY = "LONGHAUL_API_KEY"
VARIABLES = (URL, KEY)
DEFAULT_URL = "http://127.0.0.1:8000"
CONNECT_SECONDS = 10
SILENCE_SECONDS = 75
"""Longer than any time between two heartbeats of the server; after this the connection is dead."""
AWAY = frozenset({429, 502, 503, 504})
"""Temporary statuses: a busy server, a starting one, and a proxy that finds none."""
BUSY_TRIES = 4
WHOLE_ID = re.compile(r"job_[0-9a-f]{24}")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

Job = Mapping[str, Any]


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
        key = os.environ.get(KEY, "")
        if key and not re.fullmatch(r"[!-~]+", key):
            raise Refused(f"{KEY} must be one word of ASCII characters.")
        self._has_key = bool(key)
        self._client = self._open(key)

    def _open(self, key: str) -> httpx.Client:
        try:
            address = httpx.URL(self.url)
        except httpx.InvalidURL:
            address = httpx.URL("")
        if address.scheme not in {"http", "https"} or not address.host:
            raise Refused(f"{self.url!r} is not the address of a server, such as {DEFAULT_URL}.")
        return httpx.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
            trust_env=address.host not in LOOPBACK,  # a proxy cannot reach a server on this machine's loopback
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    # -- calls --------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Returns the JSON of the response, None if it is empty. Asks a busy server again."""
        for pause in (*(2**number / 2 for number in range(BUSY_TRIES)), None):
            try:
                return self._once(method, path, options)
            except Unreachable as busy:
                if not busy.retry_after or pause is None:
                    raise
                time.sleep(min(max(busy.retry_after, pause), 10))
        raise AssertionError

    def _once(self, method: str, path: str, options: Mapping[str, Any]) -> Any:
        with self._reaching():
            response = self._checked(self._client.request(method, path, **options))
        try:
            return response.json() if response.content else None
        except ValueError:
            raise Refused(f"The server at {self.url} is not a Longhaul server.") from None

    @contextlib.contextmanager
    def stream(self, path: str, headers: Mapping[str, str] | None = None) -> Iterator[Iterator[bytes]]:
        """Yields the response's bytes as they come; reading them raises `Unreachable` after a cut."""
        with self._reaching(), self._client.stream("GET", path, headers=headers) as response:
            if not response.is_success:
                response.read()
            self._checked(response)
            yield response.iter_bytes()

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError:
            raise Unreachable(
                f"{self.url} does not answer: start the server, or name another with --url or {URL}."
            ) from None

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        if response.status_code == 401:
            raise Refused(
                f"The server does not know the key in {KEY}."
                if self._has_key
                else f"The server requires a key: put it into the variable {KEY}."
            )
        sentence = _sentence(response)
        if response.status_code in AWAY:
            raise Unreachable(sentence, retry_after=_seconds(response.headers.get("retry-after", "1")))
        raise Refused(sentence)

    # -- jobs ---------------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> Job:
        job: Job = self.call("GET", f"/api/jobs/{job_id}")
        return job

    def jobs(self, limit: int, **query: str | None) -> list[Job]:
        """Returns the newest jobs, from as many responses as it takes."""
        wanted: dict[str, Any] = {name: value for name, value in query.items() if value}
        found: list[Job] = []
        while len(found) < limit:
            page = self.call("GET", "/api/jobs", params={**wanted, "limit": min(limit - len(found), 100)})
            found += page["data"]
            if not page["has_more"]:
                break
            wanted["before"] = found[-1]["id"]
        return found

    def tools(self) -> list[Mapping[str, Any]]:
        tools: list[Mapping[str, Any]] = self.call("GET", "/api/tools")["data"]
        return tools

    def whole_id(self, text: str) -> str:
        """Returns the id that begins with the text, which may lack `job_`."""
        if WHOLE_ID.fullmatch(text):
            return text
        if not re.fullmatch(r"[\w.:-]{1,200}", text, re.ASCII):
            raise Refused(f"{text!r} is not the id of a job: see scripts/jobs ls.")
        ids = [job["id"] for job in self.jobs(100)]
        fitting = [one for one in ids if one.startswith((text, f"job_{text}"))]
        if len(fitting) > 1:
            raise Refused(f"{text!r} fits {len(fitting)} jobs: type more of the id.")
        return fitting[0] if fitting else text


def _sentence(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered with the status {response.status_code}."


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else 1.0


def read_json(line: bytes, what: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise Refused(f"{what} cannot be read.") from None
