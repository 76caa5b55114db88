"""What networks do to the socket of a tab: the page mends itself, nothing is lost."""

import asyncio
import time

from tests.browser.conftest import OpenChat
from tests.browser.page import Chat
from tests.endpoint import script
from tests.server import Server
from tests.sockets import Proxy
from tests.waiting import until

OUTAGE_SECONDS = 5
REPAIR_SECONDS = 3
HALF_OPEN_SECONDS = 12


async def test_a_socket_cut_for_5_seconds_leaves_no_hole(shared_server: Server, open_chat: OpenChat) -> None:
    async with Proxy(shared_server.port) as proxy:
        chat = await open_chat(proxy.url)
        await chat.send(script(tokens=120, rate=8))
        await chat.sees_word(15)

        cut_at = time.monotonic()
        await proxy.cut()
        await asyncio.sleep(OUTAGE_SECONDS)
        await proxy.restore()

        await repaired(chat, proxy, since=cut_at, beyond=15 + 8 * OUTAGE_SECONDS)
        await chat.runs(within=1)
        await chat.has_words(120)
        assert await chat.record() == {"gone": [], "doubled": []}


async def test_a_job_that_ends_while_the_socket_is_cut_shows_its_end(
    shared_server: Server, open_chat: OpenChat
) -> None:
    async with Proxy(shared_server.port) as proxy:
        chat = await open_chat(proxy.url)
        await chat.send(script(tokens=120, rate=40))
        await chat.sees_word(30)

        cut_at = time.monotonic()
        await proxy.cut()
        await asyncio.sleep(OUTAGE_SECONDS)
        await proxy.restore()

        await repaired(chat, proxy, since=cut_at, beyond=119)
        await chat.has_words(120)
        assert await chat.record() == {"gone": [], "doubled": []}


async def test_a_half_open_socket_is_noticed_and_replaced(shared_server: Server, open_chat: OpenChat) -> None:
    async with Proxy(shared_server.port) as proxy:
        chat = await open_chat(proxy.url)
        await chat.send(script(tokens=120, rate=7))
        await chat.sees_word(10)

        swallowed_at = time.monotonic()
        proxy.swallow()
        await asyncio.sleep(OUTAGE_SECONDS)
        await proxy.restore()

        await repaired(chat, proxy, since=swallowed_at, beyond=10 + 7 * OUTAGE_SECONDS)
        assert proxy.sockets_opened_at[-1] - swallowed_at <= HALF_OPEN_SECONDS
        await chat.has_words(120)
        assert await chat.record() == {"gone": [], "doubled": []}


async def test_a_browser_that_was_offline_catches_up(shared_server: Server, open_chat: OpenChat) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send(script(tokens=120, rate=12))
    await chat.sees_word(15)

    await chat.page.context.set_offline(True)
    await asyncio.sleep(OUTAGE_SECONDS)
    await chat.page.context.set_offline(False)

    await chat.has_words(120, within=HALF_OPEN_SECONDS + REPAIR_SECONDS)
    assert await chat.record() == {"gone": [], "doubled": []}


async def repaired(chat: Chat, proxy: Proxy, *, since: float, beyond: int) -> None:
    """Waits for a new socket, then for a text without holes up to what was said meanwhile, within the bound."""

    def socket_is_back() -> list[float]:
        return [at for at in proxy.sockets_opened_at if at > since]

    async def no_hole() -> bool:
        shown = await chat.words()
        return max(shown, default=0) >= beyond and shown == list(range(len(shown)))

    back_at = (await until(socket_is_back, within=HALF_OPEN_SECONDS, what="a new socket"))[0]
    left = back_at + REPAIR_SECONDS - time.monotonic()
    await until(no_hole, within=left, what=f"the text without a hole up to w{beyond}")
