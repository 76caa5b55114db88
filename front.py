"""The web process, whole: the chat and the API behind one door. Both web entries serve it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import starting
from accounts import UsersFile
from services import logs
from services.lifecycle import Lifecycle
from services.web import SchemaTooNew, open_web, prepare
from settings import Settings, refuse

logger = logging.getLogger("longhaul")


class Front:
    """Made once, before the server starts: Chainlit takes its callbacks when it is imported."""

    def __init__(self, settings: Settings) -> None:
        logs.configure(settings, "web")
        starting.allow_open_files()
        prepare(settings)
        # Chainlit reads the environment when it is imported, so that settings come first.
        from api import create_api
        from handlers.install import install_chat
        from handlers.login import browser_user
        from handlers.oauth import OAuthRules

        self._settings = settings
        self._lifecycle = Lifecycle()
        self.refuse_foreign_handlers()
        install_chat(
            self._lifecycle,
            message_bytes=settings.max_body_bytes,
            upload_mb=settings.max_upload_mb,
            allowed_hosts=settings.allowed_hosts,
            allowed_origins=settings.allowed_origins,
            frame_ancestors=settings.frame_ancestors,
            users=UsersFile(settings.users_path) if settings.users_path else None,
            oauth=OAuthRules(
                allow=settings.oauth_allow or ("*",),
                subject_field=settings.generic_subject,
                one_tenant=settings.one_tenant,
            )
            if settings.has_oauth
            else None,
            session_days=settings.session_days,
            anonymous=settings.allow_anonymous,
            api_only=settings.api_only,
        )
        self.api = create_api(settings, self._lifecycle, browser_user=browser_user)

    def refuse_foreign_handlers(self) -> None:
        """End the process when other code registers handlers beside ours: one of the two would never be called."""
        from handlers.foreign import foreign_handler

        if (sentence := foreign_handler()) is not None:
            refuse(sentence)

    def open_with_chainlit(self) -> None:
        """Have Chainlit's server open and close this. Its own lifespan ends the process, so ours ends in a callback."""
        from handlers.install import install_lifespan

        self.refuse_foreign_handlers()
        install_lifespan(lambda: self.open(embedded_workers=1), check=self.refuse_foreign_handlers)

    @asynccontextmanager
    async def open(self, *, embedded_workers: int) -> AsyncIterator[None]:
        """While it is open, it serves. A start that cannot go well ends the process: it would serve a page on which
        nothing works."""
        from handlers.chat import open_chat

        self.refuse_foreign_handlers()
        logs.configure(self._settings, "web")  # the server has set up a log of its own
        async with AsyncExitStack() as stack:
            stack.enter_context(self._lifecycle.drained_by_signals())
            try:
                services = await stack.enter_async_context(open_web(self._settings, embedded_workers=embedded_workers))
                chat = await stack.enter_async_context(open_chat(services))
            except SchemaTooNew as error:
                refuse(str(error))
            except Exception as error:
                logger.exception("start failed")
                refuse(f"The server could not start: {error}.")
            self._lifecycle.on_drain(partial(logger.info, "server draining"))
            self._lifecycle.on_drain(services.jobs.end_follows)
            starting.end()
            with self._lifecycle.serving(services, chat, chat.sessions, chat.store):
                logger.info("server started", extra={"fields": {"data_dir": str(self._settings.data)}})
                yield
        logger.info("server stopped")
