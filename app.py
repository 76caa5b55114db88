"""The laptop's entry: `chainlit run app.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # Chainlit takes it off again after loading this file

import starting

starting.begin()

from front import Front
from settings import Settings, check_port, require_login

settings = Settings.load()
front = Front(settings)

from chainlit.config import config
from chainlit.server import app

from api import ApiOrChat
from services import event_loop

require_login(settings, config.run.host)
# Chainlit hands this very application to its server: `ApiOrChat` becomes its outermost layer.
app.middleware_stack = ApiOrChat(api=front.api, chat=app.build_middleware_stack())
event_loop.take_over()
front.open_with_chainlit()
check_port(config.run.host, config.run.port)
