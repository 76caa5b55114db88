"""Chooses the tool that the offline model calls, by the user's words and files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from language.cues import LISTED, wants_of
from language.numbers import numbers_for
from language.terms import Terms, language_of
from toolkit.parameters import Kind, Parameter, arguments_of_files, parameters_of
from toolkit.typed import find_pairs

LONG_TEXT = 500
"""Characters from which on a message is a pasted text, not a question."""
NAMING_CHARACTERS = 200
"""Tool names count only within this many characters of a message; the rest may be pasted text."""
MAX_FILES = 20

TABLES = frozenset({".csv", ".tsv", ".tab", ".xlsx", ".parquet"})
SOUNDS = ("audio/", "video/")
ADDRESS = re.compile(r"https?://\S+")
SUMMARY = re.compile(
    r"summ[ae]r|tl;?dr|key points|\bgist\b|digest|condense|overview|zusammenfass|\bfass(?:e|t)?\b.*\bzusammen"
    r"|\bfass(?:e|t)? .*\bkurz|überblick|résum|resum|总结|概括|摘要",
    re.IGNORECASE,
)
_ANALYSIS = re.compile(r"analy[sz]|profile|outlier|correlat|statistic|auswert|\bstands? out\b", re.IGNORECASE)
_INDEXING = re.compile(r"\bindex", re.IGNORECASE)
_COMPARISON = re.compile(
    r"\bcompar(?:e|ison)|\bdifferen(?:ce|t)|\bdiffer\b|what(?:'s| has| is| was)? (?:new|changed)|which .*\bchanged\b"
    r"|\bchanges? (?:between|in|from)\b|\b(?:added|removed|dropped)\b|vergleich|geändert"
    r"|änderungen|unterschied|was ist neu|比较|区别|变化",
    re.IGNORECASE,
)
_ASKED = frozenset({"quote_documents", "compare_documents", "query_table", "search_documents"})
_OF_A_TABLE = re.compile(r"\btable|\bcsv\b|\bexcel\b|spreadsheet|tabelle|\brows?\b|\bcolumns?\b", re.IGNORECASE)
_SMALL_TALK = re.compile(
    r"^\W*(?:hi|hello|hey|hallo|moin|good (?:morning|evening|day)|guten (?:morgen|tag|abend)|thanks?|thank you|danke"
    r"|bye|help|hilfe|(?:what|who) (?:are|can) you\b.*|was kannst du\b.*|wer bist du\b.*)(?:\s+\w+)?\W*$",
    re.IGNORECASE,
)

Tool = Mapping[str, Any]
"""The `function` part of OpenAI's schema: name, description, parameters."""
File = Mapping[str, str]
"""Its id, name and mime."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A tool to call. With `missing`, it cannot be called: these required arguments were not given."""

    tool: str
    arguments: Mapping[str, Any]
    missing: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Request:
    """The user's request: its text, its files, and those of the conversation, the newest last."""

    words: str
    attached: Sequence[File] = ()
    known: Sequence[File] = ()
    tools: Sequence[Tool] = ()

    def files(self, *, tables: bool) -> list[File]:
        """Returns the attached documents, or tables, else those of the conversation."""
        for files in (self.attached, self.known):
            if found := [file for file in files if _is_table(file) == tables and not file["mime"].startswith(SOUNDS)]:
                return found[-MAX_FILES:]
        return []

    def tool(self, name: str) -> Tool | None:
        return next((tool for tool in self.tools if tool["name"] == name), None)


def route(request: Request) -> Call | None:
    """Returns the tool for the user's request; None if there is none."""
    if len(request.words) < LONG_TEXT and _SMALL_TALK.match(request.words):
        return None
    for rule in (_named, _crawl, _of_tables, _of_documents, _of_numbers):
        if (call := rule(request)) is not None:
            return call
    return None


def asks_something(words: str) -> bool:
    return (
        len(words.split()) > 2
        or "?" in words
        or "？" in words
        or len(re.findall(r"[\u3040-\u30ff\u3400-\u9fff]", words)) > 3
    )


def _named(request: Request) -> Call | None:
    """The user named the tool, by its name or all its words. A one-word name counts only at the start."""
    said = re.findall(r"[a-z0-9_]+", request.words[:NAMING_CHARACTERS].lower())
    for tool in request.tools:
        name = tool["name"].lower()
        parts = name.split("_")
        if name in (said if len(parts) > 1 else said[:2]) or (len(parts) > 1 and _is_said(parts, said, name)):
            return _call(tool, request.words, request.attached or _last_sent(request))
    return None


def _is_said(parts: Sequence[str], said: Sequence[str], name: str) -> bool:
    """Whether the words are consecutive; for tools that answer questions, only with the exact name."""
    if name in _ASKED:
        return False
    near = [*parts[:1], "the", *parts[1:]]  # take the tour
    text = f" {' '.join(said)} "
    return any(f" {' '.join(words)} " in text for words in (parts, near))


def _crawl(request: Request) -> Call | None:
    tool = request.tool("crawl_site")
    wanted = tool and re.search(r"\bcrawl", request.words, re.IGNORECASE) and ADDRESS.search(request.words)
    return _call(tool, request.words, ()) if tool and wanted else None


def _of_tables(request: Request) -> Call | None:
    tables = request.files(tables=True)
    others = request.attached and not all(map(_is_table, request.attached))
    if not tables or len(request.words) >= LONG_TEXT or (others and not _OF_A_TABLE.search(request.words)):
        return None
    ids = [file["id"] for file in tables]
    asks = asks_something(request.words)
    whole = _ANALYSIS.search(request.words) or (request.attached and (SUMMARY.search(request.words) or not asks))
    if (tool := request.tool("analyze_table")) and whole:
        return _call(tool, request.words, tables)
    if request.tool("query_table") and asks and (request.attached or not request.files(tables=False)):
        return Call(tool="query_table", arguments={"question": request.words, "tables": ids})
    return None


def _of_documents(request: Request) -> Call | None:
    documents = request.files(tables=False)
    words = request.words
    if not documents or len(words) >= LONG_TEXT:
        return None
    ids = [file["id"] for file in documents]
    asks = asks_something(words)
    if request.tool("compare_documents") and len(ids) == 2 and _COMPARISON.search(words):
        return Call(tool="compare_documents", arguments={"documents": ids})
    if (tool := request.tool("index_documents")) and _INDEXING.search(words):
        return _call(tool, words, documents)
    wanted = wants_of(words)
    narrow = bool(wanted) and wanted <= LISTED  # all decisions, or all actions, are more than a summary has room for
    whole = (SUMMARY.search(words) and not narrow) or (request.attached and not asks)
    if (tool := request.tool("summarize_documents")) and whole:
        return _call(tool, words, documents)
    if request.tool("quote_documents") and asks:
        return Call(tool="quote_documents", arguments={"question": words, "documents": ids})
    return None


def _of_numbers(request: Request) -> Call | None:
    """The message has a tool's numbers and its topic: `Simulate saving 300 a month over 20 years`."""
    if not re.search(r"\d", request.words) or len(request.words) >= LONG_TEXT:
        return None
    terms = Terms(language_of(request.words))
    said = terms.of(request.words)
    for tool in request.tools:
        verb = terms.of(tool["name"].replace("_", " "))[:1]
        about = terms.of(tool["description"].partition("\n")[0])[1:]
        if not verb or not terms.like(verb[0], said) or not any(terms.like(term, said) for term in about):
            continue
        numeric = [one for one in parameters_of(tool["parameters"]) if one.kind in {Kind.INTEGER, Kind.NUMBER}]
        told = numbers_for(request.words, {one.name: one.description for one in numeric}, terms)
        if len(told) >= 2:
            return Call(tool=tool["name"], arguments=told)
    return None


def _call(tool: Tool, words: str, files: Sequence[File]) -> Call:
    parameters = parameters_of(tool["parameters"])
    arguments = _arguments(parameters, words, files)
    missing = [one.name for one in parameters if one.required and one.name not in arguments]
    return Call(tool=tool["name"], arguments=arguments, missing=missing)


def _arguments(parameters: Sequence[Parameter], words: str, files: Sequence[File]) -> dict[str, Any]:
    """Collects arguments from attached files, an address, `name=value` pairs and a JSON object in the message."""
    arguments = arguments_of_files([file["id"] for file in files], parameters)
    if any(one.name == "url" for one in parameters) and (address := ADDRESS.search(words)):
        arguments["url"] = address.group().rstrip(".,;:!?)")
    pairs = find_pairs(words, parameters).arguments(parameters) | _json_object(words)
    if any(one.name == "question" for one in parameters) and not pairs:
        pairs = {"question": words}
    return arguments | pairs


def _json_object(words: str) -> dict[str, Any]:
    start = words.find("{")
    if start < 0:
        return {}
    try:
        value, _ = json.JSONDecoder().raw_decode(words, start)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _last_sent(request: Request) -> Sequence[File]:
    """Returns the files of the newest message that has any."""
    last = request.known[-1].get("message") if request.known else None
    return [file for file in request.known if file.get("message") == last]


def _is_table(file: File) -> bool:
    return PurePath(file["name"]).suffix.lower() in TABLES
