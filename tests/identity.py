"""An OAuth provider on loopback: its users are in the code that a login brings back.

`address`, `subject=address`, `address:unconfirmed`, `address:silent` (which says nothing of it), `address:group`.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit


class IdentityProvider:
    """`with IdentityProvider() as provider:` serves; `provider.environment` makes it Chainlit's generic provider."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def environment(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {
            "OAUTH_GENERIC_CLIENT_ID": "longhaul",
            "OAUTH_GENERIC_CLIENT_SECRET": "client-secret",
            "OAUTH_GENERIC_AUTH_URL": f"{url}/authorize",
            "OAUTH_GENERIC_TOKEN_URL": f"{url}/token",
            "OAUTH_GENERIC_USER_INFO_URL": f"{url}/user",
            "OAUTH_GENERIC_SCOPES": "openid email",
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        self._answer({"access_token": form["code"][0]})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/authorize":
            self._send_back(dict(parse_qsl(url.query)))
            return
        person, _, state = self.headers["authorization"].removeprefix("Bearer ").partition(":")
        subject, _, address = person.rpartition("=")
        said = {"sub": "" if address == "nobody" else subject or f"no-{address.partition('@')[0]}", "email": address}
        said |= {} if state == "silent" else {"email_verified": state != "unconfirmed"}
        self._answer({**said, "groups": [f"/{state}"] if state else []})

    def _send_back(self, asked: dict[str, str]) -> None:
        """Whoever comes with a browser is alice."""
        self.send_response(302)
        self.send_header("Location", f"{asked['redirect_uri']}?{urlencode({'code': 'alice', 'state': asked['state']})}")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...

    def _answer(self, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
