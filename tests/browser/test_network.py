"""What networks do to the socket of a tab: the page mends itself, nothing is lost."""

import asyncio
import time

from playwright.async_api import Route, expect

from tests.browser.conftest import OpenChat
from tests.browser.page import Chat
from tests.conftest import StartServer
from tests.endpoint import Endpoint, Request, script
from tests.postgres import PrivatePostgres
from tests.server import Server
from tests.sockets import Proxy
from tests.waiting import until

RATE = 16
OUTAGE_SECONDS = 5
REPAIR_SECONDS = 15
HALF_OPEN_SECONDS = 30


async def test_a_socket_cut_for_5_seconds_leaves_no_hole(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    async with Proxy(shared_server.port) as proxy:
        chat = await open_chat(proxy.url)
        request = await streaming(chat, shared_endpoint)

        cut_at = time.monotonic()
        await proxy.cut()
        await asyncio.sleep(OUTAGE_SECONDS)
        await proxy.restore()

        await repaired(chat, proxy, request, since=cut_at)
        await whole(chat, shared_endpoint, request)


async def test_a_job_that_ends_while_the_socket_is_cut_shows_its_end(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    async with Proxy(shared_server.port) as proxy:
        chat = await open_chat(proxy.url)
        question = script(tokens=120, rate=240, hold=30)
        await chat.send(question)
        await chat.sees_word(29)

        cut_at = time.monotonic()
        await proxy.cut()
        shared_endpoint.release(question)
        await asyncio.sleep(OUTAGE_SECONDS)
        [request] = shared_endpoint.requests(question)
        assert request.finished_at is not None
        await proxy.restore()

        await repaired(chat, proxy, request, since=cut_at)
        await whole(chat, shared_endpoint, request)


async def test_a_page_that_connects_while_the_database_is_away_goes_on_when_it_is_back(
    start_server: StartServer, private_postgres: PrivatePostgres, open_chat: OpenChat
) -> None:
    server = await start_server(DATABASE_URL=private_postgres.url)
    server.expected_noise = ("background work failed", "Traceback")
    async with Proxy(server.port) as proxy:
        chat = await open_chat(proxy.url)
        await chat.send(script(tokens=20, rate=240))
        await chat.has_words(20)

        await asyncio.to_thread(private_postgres.stop, immediately=True)
        await proxy.cut()
        await proxy.restore()
        await until(lambda: "its session cannot be opened" in server.log(), within=60, what="the page was cut off")
        await asyncio.to_thread(private_postgres.start)

        await chat.send(script(tokens=40, rate=240))
        await chat.has_words(40)


async def test_a_half_open_socket_is_noticed_and_replaced(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    async with Proxy(shared_server.port) as proxy:
        chat = await open_chat(proxy.url)
        request = await streaming(chat, shared_endpoint)

        swallowed_at = time.monotonic()
        proxy.swallow()
        await asyncio.sleep(OUTAGE_SECONDS)
        await proxy.restore()

        back_at = await repaired(chat, proxy, request, since=swallowed_at)
        assert back_at - swallowed_at <= HALF_OPEN_SECONDS
        await whole(chat, shared_endpoint, request)


async def test_a_browser_that_was_offline_catches_up(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    chat = await open_chat(shared_server.url)
    request = await streaming(chat, shared_endpoint)

    await chat.page.context.set_offline(True)
    await asyncio.sleep(OUTAGE_SECONDS)
    await chat.page.context.set_offline(False)

    await chat.sees_word(request.tokens_sent - 1, within=HALF_OPEN_SECONDS + REPAIR_SECONDS)
    await whole(chat, shared_endpoint, request)


async def streaming(chat: Chat, endpoint: Endpoint) -> Request:
    """Starts a stream that goes on through an outage, and waits until it can be read."""
    question = script(tokens=120, rate=RATE, hold=110)
    await chat.send(question)
    await chat.sees_word(15)
    [request] = endpoint.requests(question)
    return request


async def repaired(chat: Chat, proxy: Proxy, request: Request, *, since: float) -> float:
    """Waits for a new socket, then, within the bound, for all that was said meanwhile; when the socket was back."""

    def socket_is_back() -> list[float]:
        return [at for at in proxy.sockets_opened_at if at > since]

    back_at = (await until(socket_is_back, within=2 * HALF_OPEN_SECONDS, what="a new socket"))[0]
    said = request.tokens_sent

    async def no_hole() -> bool:
        shown = await chat.words()
        return len(shown) >= said and shown == list(range(len(shown)))

    left = back_at + REPAIR_SECONDS - time.monotonic()
    await until(no_hole, within=left, what=f"the text without a hole up to w{said - 1}")
    return back_at


async def whole(chat: Chat, endpoint: Endpoint, request: Request) -> None:
    """Lets the stream end; every word must be there once, and none may ever have gone."""
    if request.finished_at is None:
        await chat.runs(within=REPAIR_SECONDS)
        endpoint.release(request.script)
    await chat.has_words(120)
    assert await chat.record() == {"gone": [], "doubled": []}


async def test_a_failed_request_for_the_user_leaves_the_page_as_it_is(
    shared_server: Server, open_chat: OpenChat
) -> None:
    """Chainlit takes any failure of it for a logout: the page would load anew, without what was typed."""
    chat = await open_chat(shared_server.url)
    await chat.page.fill("#chat-input", "a thought")
    asked: list[str] = []

    async def fail_twice(route: Route) -> None:
        asked.append(route.request.url)
        await (route.abort() if len(asked) < 3 else route.continue_())

    async def asked_three_times() -> bool:
        await chat.page.evaluate("dispatchEvent(new Event('online'))")  # the page asks again, though not at each
        return len(asked) >= 3

    await chat.page.context.route("**/user", fail_twice)
    await until(asked_three_times, within=30, what="the page asks until it gets an answer")
    await expect(chat.page.locator("#chat-input")).to_have_value("a thought")
