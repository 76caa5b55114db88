"""Crawls a site into the conversation's index: politely, within limits, and never into a private network."""

from tools.crawl.crawler import Crawler, Wish
from tools.crawl.guard import Guard, Refused
from tools.crawl.limits import Limits
from tools.crawl.links import page_url
from tools.crawl.pace import Pace

__all__ = ["Crawler", "Guard", "Limits", "Pace", "Refused", "Wish", "page_url"]
