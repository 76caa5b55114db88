"""Wake-ups between processes."""

from __future__ import annotations

from pathlib import Path

from jobs.wake import DATAGRAM_BYTES, DatagramWake, packed
from tests.waiting import until

SOON = 30.0


async def test_a_wake_up_reaches_every_listener_of_every_process(tmp_path: Path) -> None:
    directory = tmp_path / ("a path longer than the address of a socket may be " * 4)
    async with DatagramWake(directory) as one, DatagramWake(directory) as two:
        heard: dict[str, set[str]] = {"one": set(), "two": set()}
        one.listen(lambda topics: heard["one"].update(topics))
        end = two.listen(lambda topics: heard["two"].update(topics))
        one.notify(["queue", "job x"])
        await until(lambda: heard == {"one": {"queue", "job x"}, "two": {"queue", "job x"}}, within=SOON, what="both")
        end()
        one.notify(["cancel"])
        await until(lambda: "cancel" in heard["one"], within=SOON, what="the one that listens")
        assert "cancel" not in heard["two"]


async def test_the_socket_of_a_dead_process_is_cleared_away(tmp_path: Path) -> None:
    async with DatagramWake(tmp_path) as live:
        dead = DatagramWake(tmp_path)
        await dead.__aenter__()
        dead._socket.detach()
        name = tmp_path / dead._name
        name.unlink()
        name.touch()
        live.notify(["queue"])
        assert not name.exists()


def test_many_topics_are_sent_in_datagrams_of_bounded_size() -> None:
    topics = {f"job {n:040}" for n in range(5_000)}
    pages = packed(topics, DATAGRAM_BYTES)
    assert all(len(page) <= DATAGRAM_BYTES for page in pages)
    assert {line for page in pages for line in page.decode().split("\n")} == topics
