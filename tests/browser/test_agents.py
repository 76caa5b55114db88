"""The choice of an agent beside Send, its settings, and what a conversation keeps of both."""

import asyncio
import os
from pathlib import Path

import httpx
from playwright.async_api import expect

from tests.browser.conftest import OpenChat
from tests.browser.page import PHONE, Chat
from tests.conftest import StartServer
from tests.endpoint import Endpoint, script
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
PICKER = "#mode-picker-trigger-agent"
PARROT = '''
from typing import Literal

from toolkit import AgentContext, agent


@agent(starters=["What is new?"])
async def parrot(ctx: AgentContext, voice: Literal["low", "high"] = "low", times: int = 1) -> None:
    """Repeats what it hears."""
    ctx.plan(["Listen", "Speak"], at=1)
    ctx.source("A perch", url="https://example.org/")

    async def listen() -> str:
        return " ".join([ctx.text] * times)

    text = await ctx.step("listen", listen)
    ctx.write("It said: ")
    ctx.write(text.upper() if voice == "high" else text)
'''


async def test_an_agent_is_chosen_beside_send_and_its_conversation_keeps_it_with_its_settings(
    start_server: StartServer, open_chat: OpenChat, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.models = ["test-model", "larger-model"]
    (tmp_path / "parrot.py").write_text(PARROT)
    server = await start_server(LONGHAUL_AGENT_DIRS=os.pathsep.join([str(ROOT / "agents"), str(tmp_path)]))
    chat = await open_chat(server.url)
    await all_fits_on_a_phone(chat)
    await chat.page.locator(PICKER).click()
    assert [text.split("\n") for text in await chat.page.get_by_role("option").all_inner_texts()] == [
        ["assistant", "Answers questions and works on your documents and tables with all tools."],
        ["parrot", "Repeats what it hears."],
    ]
    await chat.page.get_by_role("option", name="parrot").click()
    await set_voice(chat, "high", times="2")
    await chat.send("hello")
    await chat.says("It said: HELLO HELLO")
    await chat.card.wait_for()

    await chat.reload()
    await until(lambda: shown(chat, "parrot"), within=30, what="the thread's agent after a reload")
    await chat.says("It said: HELLO HELLO")
    await chat.send("again")
    await chat.says("It said: AGAIN AGAIN")


async def all_fits_on_a_phone(chat: Chat) -> None:
    """With a choice of agents and of models, Send and both lists of commands are within the screen."""
    page = chat.page
    before = page.viewport_size
    await page.set_viewport_size(PHONE)
    await page.locator("#mode-picker-trigger-model").wait_for()
    await expect(page.locator("#chat-submit")).to_be_in_viewport(ratio=1)
    await page.fill("#chat-input", "/")
    await expect(page.locator(".command-item").first).to_be_in_viewport(ratio=1)
    await page.fill("#chat-input", "")
    await page.locator("#command-button").click()
    await expect(page.locator("#command-popover")).to_be_in_viewport(ratio=1)
    await page.keyboard.press("Escape")
    assert before is not None
    await page.set_viewport_size(before)


async def test_a_starter_of_an_agent_asks_that_agent(
    start_server: StartServer, open_chat: OpenChat, tmp_path: Path
) -> None:
    (tmp_path / "parrot.py").write_text(PARROT)
    server = await start_server(LONGHAUL_AGENT_DIRS=os.pathsep.join([str(ROOT / "agents"), str(tmp_path)]))
    chat = await open_chat(server.url)
    await chat.page.get_by_role("button", name="What is new?").click()
    await chat.says("It said: What is new?")
    await until(lambda: shown(chat, "parrot"), within=30, what="the agent that answers")


async def test_a_job_whose_task_no_worker_has_says_so_on_its_card_and_over_the_api(
    start_server: StartServer, open_chat: OpenChat, tmp_path: Path
) -> None:
    (tmp_path / "parrot.py").write_text(PARROT)
    server = await start_server(LONGHAUL_AGENT_DIRS=os.pathsep.join([str(ROOT / "agents"), str(tmp_path)]))
    nobody = "no running worker has 'parrot': start one, or check that its file loads"
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:

        async def ask(**fields: str) -> str:
            return str((await client.post("/api/jobs", json={**fields, "thread_id": "t"})).json()["id"])

        running = await ask(task="chat", input=script(tokens=9, hold=3))
        waiting = await ask(task="parrot", input="hi")
        await asyncio.to_thread(server.stop)  # it drains
        await server.start(LONGHAUL_AGENT_DIRS=str(ROOT / "agents"))
        chat = await open_chat(server.url, "/thread/t")
        await client.post(f"/api/jobs/{running}/cancel")
        card = chat.page.locator(f"[data-testid=job-card][data-job-id={waiting}]")
        await expect(card.get_by_test_id("job-doing")).to_have_text(nobody)
        await expect(chat.page.locator("#longhaul-dock")).to_contain_text(nobody)

        async def told() -> bool:
            return bool((await client.get(f"/api/jobs/{waiting}")).json()["doing"] == nobody)

        await until(told, within=60, what="the job says that nobody can do it")
        await chat.page.get_by_test_id("job-remove").click()


async def set_voice(chat: Chat, voice: str, *, times: str) -> None:
    await chat.page.locator("#chat-settings-open-modal").click()
    dialog = chat.page.get_by_role("dialog")
    await expect(dialog.get_by_role("tab", name="parrot")).to_be_visible()
    await dialog.get_by_role("combobox").click()
    await chat.page.get_by_role("option", name=voice).click()
    await dialog.get_by_role("textbox").fill(times)
    await dialog.get_by_role("button", name="Confirm").click()
    await dialog.wait_for(state="hidden")


async def shown(chat: Chat, name: str) -> bool:
    picker = chat.page.locator(PICKER)
    return await picker.count() == 1 and name in await picker.inner_text()
