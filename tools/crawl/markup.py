"""Detects markup that is too slow to parse: a few hundred kilobytes can be written so that parsing takes hours.

The limits come from measurements: a parser's time grows with nesting times size (20,000 nested elements take 0.7 s,
100,000 take 16 s), and unclosed tags such as <b> are repeated in every paragraph that follows.
"""

import re

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]{0,30})([^>]*)")
# Elements whose end tag may be missing, and empty elements.
_UNCLOSED = frozenset(
    """
    area base body br col colgroup dd dt embed head hr html img input li link meta optgroup option p param rp rt source
    tbody td tfoot th thead tr track wbr
    """.split()  # noqa: SIM905 - forty quotation marks read worse
)
_REPEATED = frozenset("a b big code em font i nobr s small strike strong tt u".split())  # noqa: SIM905
_MAX_NESTED = 200_000_000
"""Depth times tags; takes half a second."""
_MAX_REPEATED = 1_000_000
"""Open tags of the repeated kinds times tags: the elements that the parser makes."""
_MAX_TAGS = 300_000
_MAX_OPTIONS = 10_000
_MAX_ATTRIBUTES = 5_000
"""Maximum for one tag."""


def too_heavy(text: str) -> bool:
    """Whether parsing the page could take more than seconds. The check takes 0.2 s for a megabyte of tags."""
    tags = depth = deepest = repeated = most_repeated = options = 0
    for tag in _TAG.finditer(text):
        tags += 1
        name = tag[2].lower()
        if len(tag[3]) > _MAX_ATTRIBUTES and len(tag[3].split(None, _MAX_ATTRIBUTES)) > _MAX_ATTRIBUTES:
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
    nested = deepest * tags > _MAX_NESTED or most_repeated * tags > _MAX_REPEATED
    return nested or tags > _MAX_TAGS or options > _MAX_OPTIONS
