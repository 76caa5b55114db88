"""What a model endpoint can do wrong: a sentence the user can act on, and Retry."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.conftest import OpenChat
from tests.conftest import StartServer, model_environment
from tests.endpoint import Endpoint, script
from tests.ports import free_port
from tests.server import Server

IDLE_SECONDS = 2
INTERNALS = ("Traceback", "Error:", "Exception", "http://", "httpx", "openai.", "127.0.0.1", "test-key")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def impatient_server(
    shared_endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """A server to which a model that is silent for two seconds has failed."""
    patience = {"LONGHAUL_MODEL_IDLE_SECONDS": str(IDLE_SECONDS), "LONGHAUL_PATIENCE_HOURS": "0"}
    server = Server(tmp_path_factory.mktemp("impatient"), model_environment(shared_endpoint) | patience)
    await server.start()
    yield server
    server.stop()
    server.check_log()


FAULTS: dict[str, tuple[dict[str, object], tuple[str, ...]]] = {
    "401": ({"status": 401}, ("key",)),
    "silence in mid-stream": ({"hang": "60@40"}, ("did not answer in time",)),
    "error chunk": ({"error": 40}, ()),
    "malformed chunk": ({"malformed": 40}, ()),
}


async def test_each_failure_is_a_sentence_and_retry_answers(
    impatient_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    chat = await open_chat(impatient_server.url)
    asked: list[str] = []
    for name, (fault, words) in FAULTS.items():
        question = script(tokens=120, rate=240, times=1, **fault)
        asked.append(question)
        await chat.send(question)

        retry = chat.button("Retry")
        await retry.wait_for(timeout=30_000)
        answer = await chat.says(*words)
        assert not [sign for sign in INTERNALS if sign in answer], name
        await chat.finishes()
        await expect(chat.page.locator("[data-step-type=assistant_message]").last).to_contain_text(answer[-20:])
        await expect(chat.button("Copy").last).to_be_visible()
        thumbs = chat.button("Good answer").filter(visible=True)
        await expect(thumbs).to_have_count(len(asked) - 1)

        await retry.click()
        await chat.has_words(120)
        await expect(thumbs).to_have_count(len(asked))
    await chat.reload()
    await chat.has_words(120)
    assert await chat.questions() == asked
    assert [len(shared_endpoint.requests(question)) for question in asked] == [2] * len(FAULTS)


@pytest.mark.parametrize("fault", ["cut", "eof"])
async def test_an_answer_that_breaks_off_is_withdrawn_and_asked_for_again(
    impatient_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat, fault: str
) -> None:
    question = script(tokens=120, rate=240, times=1, **{fault: 40})
    chat = await open_chat(impatient_server.url)
    await chat.send(question)
    await chat.has_words(120)
    await chat.reload()
    await chat.has_words(120)
    assert len(shared_endpoint.requests(question)) == 2


async def test_a_rate_limited_model_is_asked_again_when_it_said(
    impatient_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    question = script(tokens=120, rate=240, status=429, retry_after=1, times=2)
    chat = await open_chat(impatient_server.url)
    await chat.send(question)
    await chat.has_words(120)

    first, second, third = [request.received_at for request in shared_endpoint.requests(question)]
    assert second - first >= 1
    assert third - second >= 1
    assert await chat.button("Retry").count() == 0


async def test_a_model_that_is_silent_before_the_first_token_is_asked_again(
    impatient_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    question = script(tokens=120, rate=240, delay=60, times=1)
    chat = await open_chat(impatient_server.url)
    await chat.send(question)
    await chat.has_words(120)
    first, _ = shared_endpoint.requests(question)
    assert first.disconnected_at is not None


async def test_a_turn_waits_for_a_model_that_is_down_and_says_so_until_it_is_back(
    start_server: StartServer, open_chat: OpenChat
) -> None:
    port = free_port()
    server = await start_server(OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1")
    chat = await open_chat(server.url)
    await chat.send(script(tokens=120, rate=240))

    await expect(chat.card).to_have_attribute("data-state", "waiting")
    await expect(chat.card.get_by_test_id("job-doing")).to_contain_text("the model endpoint is failing; next try")
    assert not [sign for sign in INTERNALS if sign in await chat.card.inner_text()]
    await expect(chat.page.get_by_test_id("job-stop")).to_be_visible()
    with Endpoint(port):
        await chat.has_words(120)
    await expect(chat.card).to_have_attribute("data-state", "completed")


async def test_a_turn_that_waits_asks_again_at_once_when_told_to(shared_server: Server, open_chat: OpenChat) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send(script(tokens=120, rate=240, status=429, retry_after=600, times=1))
    await expect(chat.card).to_have_attribute("data-state", "waiting")
    await chat.page.get_by_test_id("job-try-now").click()
    await chat.has_words(120)
    await expect(chat.card).to_contain_text("Trying again now, as local asked.")
