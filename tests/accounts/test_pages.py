"""The policy of a page, made from its text."""

from accounts import page_headers

HTML = "<script src='/a.js'></script><script>one()</script><script type='module' src='/b.js'></script>"


def policy(html: str, **options: str) -> str:
    headers = page_headers(html, **{"frame_ancestors": "'none'", **options})
    return headers["Content-Security-Policy"]


def test_inline_scripts_run_by_their_hash_alone() -> None:
    digest = "sha256-HR7iaask9daLMRRskMI++QeJtjWDOjyPA6lGzYGzKW4="
    assert f"script-src 'self' '{digest}';" in policy(HTML)
    assert "script-src 'self';" in policy("<p>text")


def test_further_scripts_and_framing_sites_are_named() -> None:
    named = policy("", scripts="https://cdn.example/x.js", frame_ancestors="'self' https://a.example")
    assert "script-src 'self' https://cdn.example/x.js;" in named
    assert named.endswith("frame-ancestors 'self' https://a.example")
