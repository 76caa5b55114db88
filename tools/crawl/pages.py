"""Reads a server's answer as a page: its text with sections, its title and its links."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
from selectolax.lexbor import LexborHTMLParser, LexborNode

from tools.crawl.fetch import Answer, Skipped
from tools.crawl.limits import AGENT, Limits
from tools.crawl.links import page_url
from tools.crawl.markup import too_heavy
from tools.documents import Document, DocumentError, Reading, Watch, read_document
from tools.documents import html as html_reader
from tools.documents import markdown as markdown_reader
from tools.documents import text as text_reader

_HTML = ("text/html", "application/xhtml+xml")
_PDF = "application/pdf"
_TEXTUAL = {"text/plain": "text", "text/markdown": "Markdown", "text/x-markdown": "Markdown"}
READABLE = (*_HTML, *_TEXTUAL, _PDF)

_MAX_TITLE = 200
_MIN_TEXT = 250
"""Characters. If the article is shorter, the page is mostly links, and all of it is read."""
_MAX_LINKS = 2_000
"""Maximum links examined; a directory of a hundred thousand would take seconds."""
_SLOW_CHARACTERS = 1_500_000
"""Extracting the article of a larger page takes seconds, for little gain."""
_SLOW_TAGS = 60_000


@dataclass(frozen=True, kw_only=True)
class Page:
    """The text of a page for the index, and its links."""

    title: str
    document: Document | None
    """None when the page asks not to be indexed or has no text."""
    links: tuple[httpx.URL, ...] = ()
    """Each link once, in order."""
    indexable: bool = True


def read_page(answer: Answer, folder: Path, limits: Limits) -> Page:
    """Reads the page. CPU-bound: call it in a thread. `folder` is for temporary files. Raises Skipped."""
    kind = answer.content_type or _sniffed(answer.content)
    if kind in _HTML:
        return _html(answer, limits)
    if kind == _PDF:
        return _pdf(answer, folder)
    return _text(answer, _TEXTUAL.get(kind, "text"))


def _html(answer: Answer, limits: Limits) -> Page:
    text = _decoded(answer, markup=True)
    if too_heavy(text):
        raise Skipped("its markup is too large or too deep to read")
    tree = LexborHTMLParser(text)
    asked = _asked(tree, answer)
    title = _title(tree)
    links = () if "nofollow" in asked else tuple(_links(tree, answer.url, limits))
    if "noindex" in asked:
        return Page(title=title, document=None, links=links, indexable=False)
    return Page(title=title, document=_article(text, str(answer.url)), links=links)


def _article(text: str, name: str) -> Document | None:
    """Returns the text without menus and footers, with headings; all text if little is left otherwise."""
    quick = len(text) <= _SLOW_CHARACTERS and text.count("<") <= _SLOW_TAGS
    found = _extracted(text) if quick else ""
    if len(found) >= _MIN_TEXT:
        return markdown_reader.read(found, name)
    whole = html_reader.read(text, name)
    if len(found) > whole.characters:
        return markdown_reader.read(found, name)
    return whole if whole.words else None


def _extracted(text: str) -> str:
    import trafilatura  # takes 0.3 s, which tool hosts that do not crawl need not spend

    # The library's parsers may raise any exception on broken pages.
    with suppress(Exception):
        return trafilatura.extract(text, output_format="markdown", include_comments=False, favor_recall=True) or ""
    return ""


def _asked(tree: LexborHTMLParser, answer: Answer) -> set[str]:
    """Returns the page's requests to crawlers: `noindex`, `nofollow`."""
    said = [answer.headers.get("x-robots-tag", "")]
    said += [
        node.attributes.get("content") or ""
        for node in tree.css("meta[name][content]")
        if (node.attributes.get("name") or "").strip().lower() in ("robots", AGENT.lower())
    ]
    asked = {word for words in said for word in re.split(r"[\s,:]+", words.lower())}
    return asked | ({"noindex", "nofollow"} if "none" in asked else set())


def _title(tree: LexborHTMLParser) -> str:
    node = tree.css_first("head > title") or tree.css_first("h1")
    return " ".join(node.text().split())[:_MAX_TITLE] if node is not None else ""


def _links(tree: LexborHTMLParser, url: httpx.URL, limits: Limits) -> Iterator[httpx.URL]:
    base = _base(tree, url)
    # Drop duplicates before parsing: a hundred thousand equal addresses would take ten seconds.
    written = dict.fromkeys(href for node in tree.css("a[href], area[href]") if (href := _href(node)))
    seen: set[str] = set()
    for href in list(written)[:_MAX_LINKS]:
        link = page_url(href, base)
        if link is None or link.scheme not in ("http", "https") or str(link) in seen:
            continue
        if len(str(link)) <= limits.url_characters:
            seen.add(str(link))
            yield link


def _base(tree: LexborHTMLParser, url: httpx.URL) -> httpx.URL:
    node = tree.css_first("base[href]")
    base = page_url(node.attributes.get("href") or "", url) if node is not None else None
    return base or url


def _href(node: LexborNode) -> str:
    """Returns the link's address; empty when it is a fragment or not to be followed."""
    href = (node.attributes.get("href") or "").strip()
    if href.startswith("#") or "nofollow" in (node.attributes.get("rel") or "").lower().split():
        return ""
    return href


def _text(answer: Answer, kind: str) -> Page:
    text = _decoded(answer, markup=False)
    name = answer.url.path.rpartition("/")[2] or answer.url.host
    if kind == "Markdown" or name.lower().endswith((".md", ".markdown")):
        document = markdown_reader.read(text, name)
    else:
        document = text_reader.read(text, name)
    return Page(title=name[:_MAX_TITLE], document=document if document.words else None)


def _pdf(answer: Answer, folder: Path) -> Page:
    name = answer.url.path.rpartition("/")[2] or "document.pdf"
    path = folder / f"page-{uuid4().hex}.pdf"
    try:
        path.write_bytes(answer.content)
        document = read_document(Reading(path=path, name=name, mime=_PDF), Watch())
    except DocumentError as error:
        raise Skipped("a PDF that is damaged, encrypted or without text") from error
    finally:
        path.unlink(missing_ok=True)
    return Page(title=name[:_MAX_TITLE], document=document)


def _decoded(answer: Answer, *, markup: bool) -> str:
    """Decodes by the server's charset, or else by the content."""
    content = answer.content
    charset = answer.headers.get("content-type", "").lower().partition("charset=")[2].strip(" \"';").partition(";")[0]
    if charset:
        with suppress(LookupError, UnicodeError, ValueError):
            return content.decode(charset).replace("\r\n", "\n").replace("\0", " ")
    if not markup and text_reader.looks_binary(content[:2_048]):
        raise Skipped("not a page of text")
    try:
        return text_reader.decode(content, "page", markup=markup)
    except DocumentError as error:
        if markup:
            return content.decode("utf-8", "replace").replace("\0", " ")  # most of it is tags, which are ASCII
        raise Skipped("its text is in no known encoding") from error


def _sniffed(content: bytes) -> str:
    """Returns the type of an answer for which the server named none."""
    head = content[:1_024].lstrip().lower()
    if head.startswith(b"%pdf-"):
        return _PDF
    return "text/html" if head.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) else "text/plain"
