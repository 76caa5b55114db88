"""robots.txt (RFC 9309): the pages that a site asks crawlers to skip, and the pause that it asks for."""

import re

from protego import Protego

from tools.crawl.limits import AGENT

# The lines that matter. Comments and sitemaps can be a hundred times as long.
_RULE = re.compile(r"\s*(?:user-?agent|allow|disallow|crawl-delay)\s*:", re.IGNORECASE)
_CLOSED = "User-agent: *\nDisallow: /"


class Robots:
    """The rules of one origin."""

    def __init__(self, text: str, *, trouble: str = "") -> None:
        """`trouble`: why the rules could not be read, which forbids the site."""
        self.trouble = trouble
        self._rules = Protego.parse(_CLOSED if trouble else text)

    def allows(self, url: str) -> bool:
        return bool(self._rules.can_fetch(url, AGENT))

    @property
    def delay_seconds(self) -> float:
        return float(self._rules.crawl_delay(AGENT) or 0)


def rules_in(text: str) -> str:
    """Returns the lines of a robots.txt that matter, for the job's record."""
    return "\n".join(line.partition("#")[0].strip()[:2_000] for line in text.splitlines() if _RULE.match(line))
