"""Chainlit's data layer over jobs and files: reads threads and their steps from the event log.

The log already holds the messages, steps and elements that Chainlit asks to store, so those methods do nothing.
"""

from __future__ import annotations

import logging
import time
import uuid
from typing import Any

from chainlit.data.base import BaseDataLayer
from chainlit.element import Element, ElementDict
from chainlit.step import StepDict
from chainlit.types import Feedback, PageInfo, PaginatedResponse, Pagination, ThreadDict, ThreadFilter
from chainlit.user import PersistedUser, User
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from handlers.callers import CALLER
from handlers.chat_store import ChatStore
from handlers.chat_store.store import StoredFeedback, StoredUser
from handlers.turns import Turns
from handlers.view import thread_dict
from handlers.words import iso, without_surrogates
from jobs import JobClient, JobNotFound, Thread, ThreadNotFound

logger = logging.getLogger(__name__)

TITLE_CHARACTERS = 200
PAGE_THREADS = 100


class DataLayer(BaseDataLayer):  # type: ignore[misc]  # Chainlit is not typed
    """Uses a user's identifier as the id, because users have no other."""

    def __init__(self, jobs: JobClient, turns: Turns, chat: ChatStore) -> None:
        self._jobs = jobs
        self._turns = turns
        self._chat = chat

    # --- users ------------------------------------------------------------------------------------------------

    async def get_user(self, identifier: str) -> PersistedUser | None:
        try:
            stored = await self._chat.user(identifier)
        except SQLAlchemyError:  # Chainlit would log the driver's text, and know the user from the token alone
            logger.warning("users cannot be read")
            return persisted(StoredUser(identifier=identifier, metadata={}, created_at=time.time()))
        return None if stored is None else persisted(stored)

    async def create_user(self, user: User) -> PersistedUser:
        return persisted(await self._chat.save_user(user.identifier, user.metadata or {}))

    # --- threads ----------------------------------------------------------------------------------------------

    async def get_thread_author(self, thread_id: str) -> str:
        """Returns an empty string, for which Chainlit answers 404, unless the thread exists and is the caller's."""
        thread = await self._thread(thread_id)
        return "" if thread is None else thread.owner

    async def get_thread(self, thread_id: str) -> ThreadDict | None:
        thread = await self._thread(thread_id)
        if thread is None:
            return None
        rendered = thread_dict(thread, await self._turns.of_thread(thread_id))
        feedback = {one.for_id: one for one in await self._chat.feedback_of_thread(thread_id)}
        for step in rendered["steps"]:
            if (given := feedback.get(step["id"])) is not None:
                step["feedback"] = {
                    "id": given.id,
                    "forId": given.for_id,
                    "value": given.value,
                    "comment": given.comment,
                }
        return rendered

    async def list_threads(self, pagination: Pagination, filters: ThreadFilter) -> PaginatedResponse[ThreadDict]:
        """Returns a page of the user's threads, newest first. The search covers titles, questions and answers."""
        size = min(max(pagination.first, 1), PAGE_THREADS)
        search, before = (without_surrogates(text or "") or None for text in (filters.search, pagination.cursor))
        found = await self._jobs.threads(filters.userId or "", search=search, limit=size + 1, before=before)
        page = found[:size]
        return PaginatedResponse(
            data=[thread_dict(thread, []) for thread in page],
            pageInfo=PageInfo(
                hasNextPage=len(found) > len(page),
                startCursor=page[0].cursor if page else None,
                endCursor=page[-1].cursor if page else None,
            ),
        )

    async def update_thread(
        self,
        thread_id: str,
        name: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,  # noqa: ARG002  # session data does not belong to the thread
        tags: list[str] | None = None,  # noqa: ARG002
    ) -> None:
        """Renames the thread. Ignores Chainlit's call (with a user id) at the first message: submit sets the title.

        Chainlit also calls it when a page leaves, without a name, and would keep the session for ever if that raised.
        """
        if not name or user_id is not None:
            return
        thread = await self._thread(thread_id)
        if thread is not None:
            await self._jobs.rename_thread(thread_id, thread.owner, without_surrogates(name)[:TITLE_CHARACTERS])

    async def delete_thread(self, thread_id: str) -> None:
        thread = await self._thread(thread_id)
        if thread is not None:
            await self._jobs.delete_thread(thread_id, thread.owner)
            await self._chat.delete_thread(thread_id)

    async def _thread(self, thread_id: str) -> Thread | None:
        """Returns None for another user's thread: Chainlit would reveal that it exists and log the caller out."""
        try:
            thread = await self._jobs.thread(without_surrogates(thread_id))
        except ThreadNotFound:
            return None
        return thread if CALLER.get() in {None, thread.owner} else None

    # --- feedback ---------------------------------------------------------------------------------------------

    async def upsert_feedback(self, feedback: Feedback) -> str:
        """Raises `HTTPException` 404 for feedback on another user's answer."""
        await self._check_own(feedback.forId)
        return await self._chat.save_feedback(
            StoredFeedback(
                id=feedback.id or str(uuid.uuid4()),
                for_id=feedback.forId,
                thread_id=feedback.threadId or "",
                value=feedback.value,
                comment=feedback.comment,
            )
        )

    async def delete_feedback(self, feedback_id: str) -> bool:
        """Raises `HTTPException` 404 for feedback on another user's answer."""
        if (for_id := await self._chat.run_of_feedback(feedback_id)) is not None:
            await self._check_own(for_id)
        return await self._chat.delete_feedback(feedback_id)

    async def _check_own(self, step_id: str) -> None:
        """Checks whose answer it is, which Chainlit does not. Step ids begin with their job's id."""
        if (caller := CALLER.get()) is not None:
            try:
                await self._jobs.get(without_surrogates(step_id).partition(":")[0], caller)
            except JobNotFound:
                raise HTTPException(404, "There is no such answer.") from None

    # --- already in the log and the file store ------------------------------------------------------------------

    async def create_step(self, step_dict: StepDict) -> None: ...

    async def update_step(self, step_dict: StepDict) -> None: ...

    async def delete_step(self, step_id: str) -> None: ...

    async def create_element(self, element: Element) -> None: ...

    async def delete_element(self, element_id: str, thread_id: str | None = None) -> None: ...

    async def get_element(self, thread_id: str, element_id: str) -> ElementDict | None:
        thread = await self.get_thread(thread_id)
        elements = (thread.get("elements") or []) if thread else []
        return next((one for one in elements if one["id"] == element_id), None)

    async def get_favorite_steps(self, user_id: str) -> list[StepDict]:  # noqa: ARG002  # switched off in the config
        return []

    async def build_debug_url(self) -> str:
        return ""

    async def close(self) -> None:
        """Does nothing: the code that opened the services closes them."""


def persisted(stored: StoredUser) -> PersistedUser:
    return PersistedUser(
        id=stored.identifier,
        identifier=stored.identifier,
        metadata=stored.metadata,
        createdAt=iso(stored.created_at),
    )
