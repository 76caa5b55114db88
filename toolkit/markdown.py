"""Markdown in what tools say."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"([\\`*_\[\]<>#|~&])")


def escaped(text: str) -> str:
    """Returns the text so that Markdown shows it as it is."""
    return _MARKUP.sub(r"\\\1", text)
