"""Which sites a message names."""

from __future__ import annotations

import pytest

from models.sites import MAX_CHARACTERS, named_sites


@pytest.mark.parametrize(
    ("text", "sites"),
    [
        ("Crawl https://example.org/docs?page=1#top.", ["example.org"]),
        ("HTTPS://Example.ORG:8443/ and http://b.example:80", ["example.org:8443", "b.example:80"]),
        ("crawl example.org, then docs.example.org/guide", ["example.org", "docs.example.org"]),
        ("(https://a.example) **https://b.example** <https://c.example>", ["a.example", "b.example", "c.example"]),
        ("[a page](https://example.org/a_(b))", ["example.org"]),
        ("https://example.org! https://example.org.", ["example.org"]),
        ("url=https://a.example url=b.example", ["a.example", "b.example"]),
        ('{"url": "https://example.org"}', ["example.org"]),
        ("https://münchen.example/ und xn--mnchen-3ya.example", ["münchen.example", "xn--mnchen-3ya.example"]),
        ("http://[2606:4700::1111]:8080/x http://1.1.1.1/", ["[2606:4700::1111]:8080", "1.1.1.1"]),
        ("not https://good.example/?next=https://evil.example/&x=evil.example", ["good.example"]),
        ("https://good.example@evil.example/ https://good.example:pw@evil.example", []),
        ("https://good.example\\@evil.example/", ["good.example"]),
        ("mail ada@evil.example or first.last@evil.example", []),
        ("see tools/evil.example and C:\\evil.example", []),
        ("Summarise README.md and notes.zip", []),
        ("https://readme.md/", ["readme.md"]),
        ("ftp://evil.example/ file:///evil.example", []),
        ("good.org/?u=evil.org good.org?evil.org good.org#evil.org good.org=evil.org", ["good.org"]),
        ("chapter 3.14 of version 52.30, on 21.11.2026", []),
        ("Hello.It is finished.My question", []),
        ("nothing", []),
    ],
)  # fmt: skip
def test_a_message_names_the_sites_of_its_addresses(text: str, sites: list[str]) -> None:
    assert list(named_sites([text])) == sites


def test_what_stands_behind_a_long_text_is_not_named() -> None:
    assert named_sites(["x" * MAX_CHARACTERS + " https://evil.example", "https://good.example"]) == ("good.example",)
