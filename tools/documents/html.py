"""Reads HTML with selectolax: the visible text, block by block, under its headings."""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from tools.documents.document import Document
from tools.documents.outline import Outline

_UNSEEN = (
    "script, style, noscript, template, svg, nav, head, iframe, object, button, select, [hidden], [aria-hidden=true]"
)
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_BLOCKS = _HEADINGS | {
    "address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "header", "hr", "li", "main", "ol", "p", "pre", "section", "summary",
    "table", "tbody", "tfoot", "thead", "tr", "ul",
}  # fmt: skip
_SPACED = frozenset({"br", "td", "th"})
"""Elements that end a word but not a passage."""


def read(text: str, name: str) -> Document:
    tree = LexborHTMLParser(text)
    for node in tree.css(_UNSEEN):
        node.decompose()
    outline = Outline(fallback="paragraph")
    body = tree.body
    for heading, passage in _passages(body) if body is not None else ():
        if heading:
            outline.head(passage)
        else:
            outline.add(passage)
    return outline.document(name, "HTML")


def _passages(body: LexborNode) -> Iterator[tuple[bool, str]]:
    """Yields (is a heading, text). A passage ends where a block begins or ends."""
    words: list[str] = []
    for node, entered in _walk(body):
        tag = node.tag or ""
        if tag in _BLOCKS:
            passage = re.sub(r"\s+", " ", "".join(words)).strip()
            if passage:
                yield tag in _HEADINGS and not entered, passage
            words = []
        elif tag in _SPACED:
            words.append(" ")
        elif entered and node.is_text_node:
            words.append(node.text_content or "")


def _walk(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Yields each node when it is entered (True) and left (False). Not recursive, because pages may nest deeply."""
    stack = [(root, True)]
    while stack:
        node, entered = stack.pop()
        yield node, entered
        if not entered:
            continue
        stack.append((node, False))
        child = node.last_child
        while child is not None:
            stack.append((child, True))
            child = child.prev
