"""A real nginx in a folder and on a port of its own: the recommended one, the default one, or one set up badly."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.ports import free_port
from tests.server import ROOT
from tests.waiting import until

RECOMMENDED = ROOT / "deploy" / "nginx.conf"
DEFAULT = """
events {{}}
http {{
    {main}
    server {{
        listen 80;
        location / {{
            proxy_pass http://127.0.0.1:8000;
            {location}
        }}
    }}
}}
"""
GZIP_EVERYTHING = "gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any;"


def executable() -> str:
    """Debian keeps nginx where only root's PATH finds it."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"])
    found = os.environ.get("NGINX") or shutil.which("nginx", path=path)
    assert found, "no nginx found: scripts/test finds or installs one"
    return found


def recommended() -> str:
    return RECOMMENDED.read_text()


def default(*, location: str = "", main: str = GZIP_EVERYTHING) -> str:
    """What a plain `proxy_pass` gives: buffering on, HTTP/1.0 to the server; and everything compressed."""
    return DEFAULT.format(main=main, location=location)


class Nginx:
    """`async with Nginx(folder, config, target_port) as nginx:` serves `nginx.url`; the config says 80 and 8000."""

    def __init__(self, folder: Path, config: str, target_port: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._config = self._placed(config, target_port)
        self._process: subprocess.Popen[bytes] | None = None

    def _placed(self, config: str, target_port: int) -> str:
        """On loopback, before this server, and everything it writes in its own folder."""
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = "".join(f"\n    {kind}_temp_path {self._folder}/{kind};" for kind in kinds)
        for old, new in (
            ("http {", f"http {{\n    access_log off;{places}"),
            ("listen 80;", f"listen 127.0.0.1:{self.port};"),
            ("127.0.0.1:8000", f"127.0.0.1:{target_port}"),
        ):
            assert config.count(old) == 1, f"{old!r} is there {config.count(old)} times"
            config = config.replace(old, new)
        return config

    @property
    def command(self) -> list[str]:
        file = self._folder / "nginx.conf"
        errors = self._folder / "error.log"
        # One process, which ends with its id and keeps our user.
        directives = f"daemon off; master_process off; pid {self._folder}/pid; error_log {errors};"
        return [executable(), "-p", str(self._folder), "-c", str(file), "-e", str(errors), "-g", directives]

    async def __aenter__(self) -> Self:
        self._process = await asyncio.to_thread(self._start)
        await until(self._listens, within=30, what=f"nginx listens; it says: {self.errors()}")
        return self

    def _start(self) -> subprocess.Popen[bytes]:
        self._folder.mkdir(parents=True)
        (self._folder / "nginx.conf").write_text(self._config)
        return subprocess.Popen(self.command, stdin=subprocess.DEVNULL)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        await asyncio.to_thread(self._process.wait, 10)

    async def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"nginx ended: {self.errors()}"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except ConnectionRefusedError:
            return False
        writer.transport.abort()
        return True

    def errors(self) -> str:
        file = self._folder / "error.log"
        return file.read_text() if file.exists() else ""
