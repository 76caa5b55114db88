"""The sites that the user named in a conversation. A tool that a model calls may visit only these."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from jobs.models import JSON, JobRequest

ADDRESS = re.compile(
    r"""
    https?:// (?P<site> \[[0-9a-f:.]+\] (?::\d+)? | [^\s/?#\\<>"'`()\[\]{}|,]* ) [^\s<>"'`]*
    | (?<! [\w.@/\\:%+-] ) (?P<bare> (?> (?:[\w-]+\.)+ [\w-]+ ) (?::\d+)? ) (?! [\w@] ) (?: [/?\#=&] [^\s<>"'`]* )?
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""A whole web address, so that no second one is found in its query; or a bare name such as `example.org`."""
FILES = (".md", ".zip", ".py", ".sh", ".rs", ".pl", ".ps", ".mov", ".cc", ".so")
"""Suffixes of files that are also top-level domains: `notes.md` means a file."""
MAX_CHARACTERS = 20_000
"""Only this much of a text is searched: text beyond it was pasted."""


def named_sites(texts: Iterable[str]) -> tuple[str, ...]:
    """Returns the hosts of the addresses in the texts, with the port if there is one."""
    return tuple(dict.fromkeys(site for text in texts for site in _sites(text[:MAX_CHARACTERS])))


def own_words(request: JobRequest, *, is_chat: bool) -> Iterator[str]:
    """Yields the user's own texts in the request, not the messages of other roles or the content of files."""
    yield request.input or ""
    if not is_chat:
        yield from _strings(request.arguments)
    for message in request.arguments.get("messages") or [] if is_chat else []:
        if message["role"] == "user":
            yield from _strings(message["content"])


def _sites(text: str) -> Iterator[str]:
    for match in ADDRESS.finditer(text):
        site = (match["site"] or match["bare"] or "").rstrip(".:;!?*_~")
        if site and "@" not in site and (match["site"] or _is_domain(site)):
            yield site.lower()


def _is_domain(bare: str) -> bool:
    """Whether a name without `https://` is meant as a site: not a file, a number, or two sentences without a space."""
    last = bare.partition(":")[0].rpartition(".")[2]
    return not last.isdigit() and last == last.lower() and not bare.lower().endswith(FILES)


def _strings(value: JSON) -> Iterator[str]:
    """Yields the texts in a value. Skips the keys of objects, which the user did not write."""
    match value:
        case str():
            yield value
        case dict():
            for part in value.values():
                yield from _strings(part)
        case list() | tuple():
            for part in value:
                yield from _strings(part)
