"""Markup that no parser should be given: a few hundred kilobytes can be built so that a tree of them takes hours.

The limits come from measurements: a parser's time grows with nesting times size (20,000 elements in each other take
0.7 s, 100,000 take 16 s), and tags like <b> that are never closed are repeated in every paragraph that follows.
"""

import re

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]{0,30})([^>]*)")
# Elements that end without an end tag, or hold nothing.
_UNCLOSED = frozenset(
    """
    area base body br col colgroup dd dt embed head hr html img input li link meta optgroup option p param rp rt source
    tbody td tfoot th thead tr track wbr
    """.split()  # noqa: SIM905 - forty quotation marks read worse
)
_REPEATED = frozenset("a b big code em font i nobr s small strike strong tt u".split())  # noqa: SIM905
_MOST_NESTED = 200_000_000  # depth times tags: half a second
_MOST_REPEATED = 1_000_000  # open tags of the repeated kinds times tags: elements of the tree
_MOST_TAGS = 300_000
_MOST_OPTIONS = 10_000
_MOST_ATTRIBUTES = 5_000  # of one tag


def too_heavy(text: str) -> bool:
    """Whether reading the page's tree could take more than seconds. Takes 0.2 s for a megabyte of tags."""
    tags = depth = deepest = repeated = most_repeated = options = 0
    for tag in _TAG.finditer(text):
        tags += 1
        name = tag[2].lower()
        if len(tag[3]) > _MOST_ATTRIBUTES and len(tag[3].split(None, _MOST_ATTRIBUTES)) > _MOST_ATTRIBUTES:
            return True
        options += name == "option"
        if name in _UNCLOSED:
            continue
        step = -1 if tag[1] else 1
        depth = max(depth + step, 0)
        deepest = max(deepest, depth)
        if name in _REPEATED:
            repeated = max(repeated + step, 0)
            most_repeated = max(most_repeated, repeated)
    nested = deepest * tags > _MOST_NESTED or most_repeated * tags > _MOST_REPEATED
    return nested or tags > _MOST_TAGS or options > _MOST_OPTIONS
