"""A private PostgreSQL of this process, started when a test first asks for it: fsync on, a schema for each test."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg import sql

SOCKET = ".s.PGSQL.5432"
POOL_SIZE = 3
"""Fewer connections than the clients of one store: they share them."""
PROGRAM = Path(__file__).parent.parent / "scripts" / "postgres"


class PrivatePostgres:
    """`directory` must be short: it holds the server's socket."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = ""

    def start(self) -> None:
        started = subprocess.run([PROGRAM, "start", self.directory], capture_output=True, text=True, check=False)
        assert started.returncode == 0, started.stderr
        self.url = started.stdout.strip()

    def empty(self) -> None:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(others)  # those of a test that failed
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")

    def stop(self, *, immediately: bool = False) -> None:
        """`immediately` is a crash: the server recovers from its log when it starts again."""
        how = ["immediate"] if immediately else []
        subprocess.run([PROGRAM, "stop", self.directory, *how], capture_output=True, check=False)


async def answers(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("SELECT 1")
            return True
    return False


@contextlib.contextmanager
def temporary_postgres() -> Iterator[PrivatePostgres]:
    """Yields a server that runs; a test may stop and start it."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as directory:  # a socket's path must be short
        server = PrivatePostgres(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.stop(immediately=True)


@cache
def shared_server() -> PrivatePostgres:
    directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    server = PrivatePostgres(directory)
    server.start()
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(server.stop, immediately=True)
    return server


def schema_url(name: str) -> str:
    """Returns the URL of a schema of this name, which is created if it is new."""
    url = shared_server().url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(name)))
    return f"{url}&options={quote(f'-csearch_path={name}')}"


@dataclass(kw_only=True)
class _Schema:
    url: str
    owner: str
    users: int = 0


_schemas: list[_Schema] = []


@contextlib.asynccontextmanager
async def borrowed_schema(owner: str) -> AsyncIterator[str]:
    """Yields the URL of a schema that holds only what this owner has put there.

    Making the tables takes longer than most tests, so a schema that nobody uses is emptied for its next owner.
    """
    schema = await asyncio.to_thread(_borrow, owner)
    try:
        yield schema.url
    finally:
        schema.users -= 1


def _borrow(owner: str) -> _Schema:
    schema = next((one for one in _schemas if one.owner == owner), None)
    if schema is None and (schema := next((one for one in _schemas if not one.users), None)):
        schema.owner = owner
        _empty(schema.url)
    if schema is None:
        schema = _Schema(url=schema_url(f"lent_{len(_schemas)}"), owner=owner)
        _schemas.append(schema)
    schema.users += 1
    return schema


def _empty(url: str) -> None:
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema AND tablename <> 'longhaul_schema'"
    with psycopg.connect(url) as connection:
        for (table,) in connection.execute(tables).fetchall():
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))


class CommitEater:
    """Stands before a server like a network that fails: while `armed`, it passes a COMMIT on and drops the answer."""

    def __init__(self, server: PrivatePostgres, directory: Path) -> None:
        """`directory` must be short, too, and gets the socket that stands before the server's."""
        directory.mkdir()
        self.url = server.url.replace(str(server.directory), str(directory))
        self.armed = False
        self.eaten = 0
        self._behind = server.directory / SOCKET
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(directory / SOCKET))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(str(self._behind))
        except OSError:  # it is down
            server.close()
            client.close()
            return
        dropping = threading.Event()
        answering = threading.Thread(target=self._answer, args=[client, server, dropping], daemon=True)
        answering.start()
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                if self.armed and b"COMMIT\0" in data:
                    self.armed = False
                    self.eaten += 1
                    dropping.set()
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        answering.join()
        server.close()
        client.close()

    def _answer(self, client: socket.socket, server: socket.socket, dropping: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while (data := server.recv(65_536)) and not dropping.is_set():
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


class Pooler:
    """PgBouncer before a server, in transaction mode: a client's next transaction may run on another connection."""

    def __init__(self, server: PrivatePostgres, directory: Path) -> None:
        """`directory` must be short, too, and gets the socket that stands before the server's."""
        self.url = server.url.replace(str(server.directory), str(directory))
        self._configuration = directory / "pgbouncer.ini"
        directory.mkdir()
        directory.chmod(0o777)  # of another user
        lines = [
            "[databases]",
            f"* = host={server.directory} user=longhaul",
            "[pgbouncer]",
            f"unix_socket_dir = {directory}",
            "listen_port = 5432",
            "auth_type = any",
            "pool_mode = transaction",
            f"default_pool_size = {POOL_SIZE}",
            f"logfile = {directory / 'log'}",
        ]
        self._configuration.write_text("\n".join(lines))

    def __enter__(self) -> Self:
        program = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "no pgbouncer found: scripts/test finds or installs one"
        unprivileged = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        self._process = subprocess.Popen([*unprivileged, program, "-q", str(self._configuration)])
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
