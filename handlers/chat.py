"""The chat: turns a message into a job, and Stop, Retry and forms into calls about jobs."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import chainlit as cl
from chainlit.session import WebsocketSession

from handlers.agents import Agent, agent_of_starter, choice, chosen_agent, panel, settings_in, starters
from handlers.chat_store import ChatStore
from handlers.commands import Commands
from handlers.data_layer import DataLayer
from handlers.drafts import Drafts, UnknownCommand
from handlers.forms import ToolForm
from handlers.login import configured_logins
from handlers.sessions import Sessions
from handlers.sockets import forget_texts
from handlers.starters import SampleStarter, starter_of
from handlers.turns import Turns
from handlers.uploads import remember
from handlers.views import Views
from handlers.words import without_surrogates
from jobs import JobRequest, JobsError
from jobs.models import Overlap
from names import CHAT, SHARED_USER
from services.agents import addressed, last_turn
from services.web import NoSpace, StoredFileNotFound, WebServices

OVERLAP = {
    "id": "overlap",
    "name": "While an answer runs",
    "options": [
        {
            "id": "next",
            "name": "Queue",
            "description": "The message waits for the running answer",
            "default": True,
        },
        {"id": "instead", "name": "Interrupt", "description": "The message stops the running answer and runs at once"},
    ],
}
"""Chainlit's mode, beside Send."""
MODEL = "model"
"""The mode that chooses the model, when the endpoint has several."""
MAX_AGAIN = 80
"""Characters of what a page calls an opening of a form."""


class WrongSettings(JobsError):
    """The settings of an agent do not fit."""


class Chat:
    """The bodies of the Chainlit callbacks. They neither run jobs nor wait for them."""

    def __init__(
        self,
        services: WebServices,
        turns: Turns,
        views: Views,
        data_layer: DataLayer,
        drafts: Drafts,
        commands: Commands,
        sessions: Sessions,
        store: ChatStore,
    ) -> None:
        self.sessions = sessions
        self.store = store
        self.files = services.files
        self.turns = turns
        self.data_layer = data_layer
        self._drafts = drafts
        self._commands = commands
        self._services = services
        self._jobs = services.jobs
        self._views = views

    async def accept(self, session: WebsocketSession, payload: Any) -> bool:
        """Returns whether a message may become a turn. An unknown file is an error, never a turn without the file."""
        if not is_message(payload):
            return await self._refuse(session, "The message could not be read; reload the page and send it again.")
        message, references = payload["message"], payload.get("fileReferences") or []
        settings = self._services.settings
        if len(message["output"].encode("utf-8", "replace")) > settings.max_body_bytes:
            return await self._refuse(session, f"The message is longer than the limit of {settings.max_body_mb} MB.")
        for reference in references:
            if reference["id"] not in session.files:
                try:
                    remember(session, await self.files.get(reference["id"], user_of(session)), self.files)
                except StoredFileNotFound:
                    return await self._refuse(session, "An attached file no longer exists; attach it again.")
        chosen = model_of(message.get("modes"))
        models = self._services.model
        if chosen is not None and chosen not in await models.names() and models.is_listed:
            return await self._refuse(session, f"The model {chosen[:80]!r} is no longer offered; choose another one.")
        # A command may have no text. Chainlit would announce a conversation that begins with an empty message, in which
        # the page shows no Stop. `on_message` announces it instead.
        session.has_first_interaction = True
        return True

    async def on_message(self, message: cl.Message) -> None:
        """Submits the job and returns without waiting; the session's view updates the page."""
        session = cl.context.session
        self._views.of(session).says(message.id)
        user, words = user_of(session), without_surrogates(message.content)
        files = [element.id for element in message.elements or []]
        model = model_of(message.modes)
        starter = starter_of(message.content)
        try:
            agents = await self._jobs.agents()
            if starter is not None and not files:
                files = [await self._attach(starter, user)]
            draft = await self._drafts.open(
                message.command,
                words,
                user=user,
                thread_id=session.thread_id,
                files=files,
                model=model,
                key=message.id,
            )
            if draft is None:
                request = JobRequest(
                    task=CHAT,
                    user=user,
                    input=words,
                    thread_id=session.thread_id,
                    files=tuple(files),
                    model=model,
                    patience_seconds=self._services.settings.patience_seconds,
                    key=message.id,
                )
                request = await self._addressed(request, agents, message, session)
                job = await self._jobs.submit(request, overlap_of(message))
                names = [element.name for element in message.elements or []]
                await self._jobs.name_after_files(job, names)
        except (JobsError, UnknownCommand, NoSpace) as error:
            await self._refuse(session, str(error))
            return
        interaction = message.content.strip() or f"/{message.command}"
        await session.emit("first_interaction", {"interaction": interaction, "thread_id": session.thread_id})
        # Not the earlier view: a page that has reconnected has another one.
        await self._views.of(session).start()
        if draft is None and request.agent and request.task != chosen_agent(message.modes):
            await self._show_modes(session)  # a starter has chosen the agent

    async def _addressed(
        self, request: JobRequest, agents: Sequence[Agent], message: cl.Message, session: WebsocketSession
    ) -> JobRequest:
        """Returns the request to the agent that was chosen, with its settings. Raises `JobsError`."""
        name = chosen_agent(message.modes)
        if agents and name in (None, agents[0]["name"]):
            name = agent_of_starter(agents, message.content) or name
        agent = next((one for one in agents if one["name"] == name), None)
        if agent is not None and (changed := settings_in(agent, session.chat_settings)):
            filled = ToolForm.of(agent).read(changed)
            for sentence in filled.problems.values():
                raise WrongSettings(f"The settings of {name}: {sentence}")
            request = replace(request, arguments=filled.arguments)
        return await addressed(self._jobs, request, name)

    async def starters(self) -> list[cl.Starter]:
        return [cl.Starter(label=label, message=message) for label, message in starters(await self._jobs.agents())]

    async def on_connected(self, session: WebsocketSession) -> None:
        """Runs when a page connects: first, after a short outage, by opening a thread, or after a restart."""
        forget_texts(session)
        view = self._views.of(session)
        if view.loaded or session.restored or session.thread_id_to_resume:
            await view.connected()
        await self._commands.connected(session)
        await self._show_modes(session)

    async def _show_modes(self, session: WebsocketSession) -> None:
        agents = await self._jobs.agents()
        last = await last_turn(self._jobs, user_of(session), session.thread_id)
        modes = [OVERLAP, *choice(agents, last)]
        await session.emit("set_modes", modes)
        if inputs := panel(agents, last):
            await session.emit("chat_settings", inputs)
        if models := await self._model_choice(session):  # the endpoint may take a while
            await session.emit("set_modes", [*modes, *models])

    async def _model_choice(self, session: WebsocketSession) -> list[dict[str, Any]]:
        """Returns Chainlit's mode for the model, if there is a choice. A thread keeps the one that it used last."""
        names = await self._services.model.names()
        if len(names) < 2:
            return []
        turns = await self._jobs.thread_jobs(session.thread_id) if session.thread_id else []
        user = user_of(session)
        last = next((job.request.model for job in reversed(turns) if job.request.is_turn and job.user == user), None)
        chosen = last if last in names else names[0]
        options = [{"id": name, "name": name, "default": name == chosen} for name in names]
        return [{"id": MODEL, "name": "Model", "options": options}]

    async def on_disconnected(self, session: WebsocketSession) -> None:
        self._commands.disconnected(session.id)
        forget_texts(session)
        await self._views.close(session.id)

    async def on_resume(self, thread: dict[str, Any]) -> None:
        """Updates `thread` in place: Chainlit sends that dict to the page, and `on_connected` continues from it."""
        thread.update(await self._views.of(cl.context.session).load())

    async def on_stop(self, session: WebsocketSession) -> None:
        for job_id in self._views.of(session).active:
            await self._jobs.cancel(job_id, user_of(session))

    async def on_retry(self, action: cl.Action) -> None:
        session = cl.context.session
        try:
            await self._jobs.retry(str(action.payload.get("job_id")), user_of(session))
        except JobsError as error:
            await session.emit("toast", {"message": str(error), "type": "error"})

    async def on_submit(self, action: cl.Action) -> dict[str, Any]:
        """Returns the problems by field, which the page shows in the form."""
        values = action.payload.get("values")
        problems = await self._drafts.submit(
            str(action.payload.get("job_id")),
            user_of(cl.context.session),
            values if isinstance(values, dict) else {},
            again=str(action.payload.get("again") or "")[:MAX_AGAIN],
        )
        return {"problems": problems}

    async def _attach(self, starter: SampleStarter, user: str) -> str:
        stored = await self._services.uploads.save(
            name=starter.file, mime=starter.mime, owner=user, source=starter.path
        )
        return stored.id

    async def _refuse(self, session: WebsocketSession, sentence: str) -> bool:
        await session.emit("toast", {"message": sentence, "type": "error"})
        await session.emit("task_end", {})
        return False


@asynccontextmanager
async def open_chat(services: WebServices) -> AsyncIterator[Chat]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(ChatStore(services.chat_url))
        services.housekeeping.also_forget(store.delete_thread)
        turns = Turns(services.jobs, services.files, services.prices)
        views = await stack.enter_async_context(Views(services.jobs, turns))
        commands = await stack.enter_async_context(Commands(services.jobs))
        sessions = await stack.enter_async_context(Sessions(configured_logins(), store))
        drafts = Drafts(services.jobs, services.files, turns, patience_seconds=services.settings.patience_seconds)
        yield Chat(services, turns, views, DataLayer(services.jobs, turns, store), drafts, commands, sessions, store)


def overlap_of(message: cl.Message) -> Overlap:
    return "instead" if (message.modes or {}).get("overlap") == "instead" else "next"


def model_of(modes: Any) -> str | None:
    """Returns the model that a message was sent to; None for the default one."""
    chosen = modes.get(MODEL) if isinstance(modes, dict) else None
    return chosen if isinstance(chosen, str) else None


def is_message(payload: Any) -> bool:
    """Returns whether the payload has a valid shape; any program can write to a socket."""
    message = payload.get("message") if isinstance(payload, dict) else None
    references = (payload.get("fileReferences") or []) if isinstance(payload, dict) else None
    if not isinstance(message, dict) or not isinstance(references, list):
        return False
    named = all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in references)
    command = message.get("command")
    texts = isinstance(message.get("output"), str) and (command is None or isinstance(command, str))
    return named and texts and is_random_uuid(message.get("id"))


def is_random_uuid(text: Any) -> bool:
    try:
        return uuid.UUID(text).version == 4
    except (ValueError, TypeError, AttributeError):
        return False


def user_of(session: WebsocketSession) -> str:
    return str(session.user.identifier) if session.user else SHARED_USER
