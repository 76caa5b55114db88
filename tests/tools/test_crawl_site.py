"""The crawl in a real tool host against a real server on loopback, and the tool itself with its real guard."""

import asyncio
import csv
import gzip
import io
import json
import os
import signal
import zlib
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.toolkit.recording import RecordingHandler
from tests.tools import making
from tests.tools.keeping import records_of
from tests.tools.serving import Reply, Site, page, redirect, serving
from toolkit.errors import ToolArgumentsInvalid, ToolError
from toolkit.handler import CallContext
from toolkit.pool import HostPool
from tools.search.recorded import RecordedIndex

ROOT = Path(__file__).parents[2]
CUT_SHORT = gzip.compress(b"words" * 99)[:20]

# The tool with a guard that lets it reach the tests' server: there is no other way to make it do so.
CRAWL_HERE = '''
import ipaddress
import os
from typing import Any
from toolkit import AsyncToolContext, tool
from tools.crawl import Crawler, Guard, Limits, Wish, page_url

LOOPBACK = ipaddress.ip_address("127.0.0.1")

async def resolve(host: str, port: int):
    if host.endswith(".private.test"):
        return [ipaddress.ip_address("10.0.0.1")]
    return [LOOPBACK] if host.endswith(".test") else []

async def save(
    ctx: AsyncToolContext, url: str, max_pages: int, max_depth: int, same_site: bool, max_seconds: float,
    limits: dict[str, Any],
) -> None:
    await crawler(ctx, url, max_pages, max_depth, same_site, max_seconds, limits).save_so_far()

@tool(partial=save)
async def crawl_here(
    ctx: AsyncToolContext, url: str, max_pages: int = 50, max_depth: int = 3, same_site: bool = True,
    max_seconds: float = 60, limits: dict[str, Any] = {},
) -> Any:
    """Crawl a site on loopback."""
    ctx.log("info", f"pid {os.getpid()}")
    return await crawler(ctx, url, max_pages, max_depth, same_site, max_seconds, limits).run()

def crawler(ctx, url, max_pages, max_depth, same_site, max_seconds, limits):
    guard = Guard(resolve, permit=[ipaddress.ip_network("127.0.0.1/32")], named_sites=ctx.named_sites)
    wish = Wish(
        url=page_url(url), max_pages=max_pages, max_depth=max_depth, delay_seconds=0, same_site=same_site,
        max_seconds=max_seconds,
    )
    return Crawler(ctx, wish, guard=guard, limits=Limits(**limits))
'''

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostPool]:
    folder = tmp_path_factory.mktemp("tools_of_test")
    (folder / "crawl_here.py").write_text(CRAWL_HERE)
    async with HostPool([ROOT / "tools", folder], spare_hosts=0) as pool:
        yield pool


@pytest_asyncio.fixture(loop_scope="module")
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


class Call:
    """Calls with one storage; `handler.finished` is what a resumed call finds."""

    def __init__(self, pool: HostPool, storage: Path) -> None:
        self.pool = pool
        self.storage = storage
        self.records: dict[str, Any] = {}
        self.handler = self.fresh()
        self.named_sites: tuple[str, ...] | None = None  # None: a person calls

    def fresh(self) -> RecordingHandler:
        return RecordingHandler(records=self.records)

    def index(self) -> RecordedIndex:
        return RecordedIndex(records_of(self.records), self.storage)

    async def __call__(
        self, url: str, tool: str = "crawl_here", *, stopped: bool = False, **arguments: Any
    ) -> dict[str, Any]:
        context = CallContext(
            thread_id="thread_1",
            user="ada",
            idempotency_key="job_1/call:0",
            storage=str(self.storage),
            named_sites=self.named_sites,
            partial=stopped,
        )
        result: Any = await self.pool.call(tool, {"url": url, **arguments}, context, self.handler)
        assert stopped or isinstance(result, dict)
        return result or {}

    @property
    def rows(self) -> list[dict[str, str]]:
        mime, content = self.handler.artifacts["crawl-report.csv"]
        assert mime == "text/csv"
        return list(csv.DictReader(io.StringIO(content.decode())))

    def reasons(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for row in self.rows:
            if row["outcome"] == "skipped":
                found.setdefault(row["reason"], []).append(row["url"])
        return found

    def found(self, query: str) -> list[tuple[str, str]]:
        return [(hit.source.name, hit.place) for hit in self.index().search(query, 20)]

    @property
    def indexed(self) -> set[str]:
        return {source.key for source in self.index().sources()}


@pytest.fixture
def crawl(pool: HostPool, tmp_path: Path) -> Call:
    return Call(pool, tmp_path / "storage")


async def test_a_stopped_crawl_lists_the_pages_that_it_has_read(crawl: Call, site: Site) -> None:
    site.replies |= {"/": page("Welcome.", "/lamps", "/ships"), "/lamps": page("Paraffin."), "/ships": page("Sail.")}
    await crawl(site.url())
    whole, asked = crawl.handler.finished, len(site.paths)
    crawl.handler = crawl.fresh()
    crawl.handler.finished = {path: value for path, value in whole.items() if "ships" not in path}
    await crawl(site.url(), stopped=True)
    assert [row["url"] for row in crawl.rows if row["outcome"] == "indexed"] == [site.url("/"), site.url("/lamps")]
    assert crawl.reasons() == {"left when the crawl was stopped": [site.url("/ships")]}
    assert ("info", "2 pages are indexed and listed in crawl-report.csv") in crawl.handler.logs
    assert len(site.paths) == asked


async def test_a_site_is_read_link_by_link_and_can_be_searched(crawl: Call, site: Site) -> None:
    site.replies |= {
        "/": page("Welcome.", "/lamps", "ships#harbour", "/"),
        "/lamps": page("Paraffin burns brightly.", "/lamps/deep", title="On lamps"),
        "/ships": page("Schooners sail.", "/lamps"),
        "/lamps/deep": page("Fresnel lenses."),
    }
    result = await crawl(site.url())
    assert site.paths == ["/", "/lamps", "/ships", "/lamps/deep"]  # breadth first, each once
    assert result["pages_indexed"] == 4
    assert crawl.found("paraffin") == [(site.url("/lamps"), "")]
    assert result["summary"].startswith(f"Indexed 4 pages from <{site.url()}>.")
    assert [one["title"] for one in result["pages"]] == ["A page", "On lamps", "A page", "A page"]
    assert result["ended_by"] is None
    assert {row["outcome"] for row in crawl.rows} == {"indexed"}
    assert [row["depth"] for row in crawl.rows] == ["0", "1", "1", "2"]
    assert crawl.handler.progresses[-1][2] == "4 pages indexed"
    assert not [message for level, message in crawl.handler.logs if level == "warning"]


async def test_sections_are_the_places_of_a_page(crawl: Call, site: Site) -> None:
    text = "The keeper of the lighthouse trims the wick every four hours and polishes the great lens. " * 4
    html = f"<title>T</title><article><h1>Handbook</h1><p>{text}</p><h2>Oil</h2><p>Colza oil is used. {text}</p>"
    site.replies["/"] = Reply(body=html.encode())
    await crawl(site.url())
    assert crawl.found("colza") == [(site.url(), "§ Oil")]


async def test_who_asks_is_named_and_nothing_else_is_sent(crawl: Call, site: Site) -> None:
    site.replies["/"] = page("Words.")
    await crawl(site.url())
    path, headers = site.asked[-1]
    assert path == "/"
    assert headers["user-agent"].startswith("Longhaul/")
    assert headers["host"] == f"one.test:{site.port}"
    assert not {"cookie", "authorization", "referer"} & set(headers)


async def test_each_page_that_was_read_is_shown_as_a_source(crawl: Call, site: Site) -> None:
    site.replies |= {"/": page("Words about lamps.", "/missing", title="Lamps")}
    await crawl(site.url())
    assert [(one["title"], one["url"]) for one in crawl.handler.sources] == [("Lamps", site.url())]


async def test_crawling_again_replaces_what_was_read(crawl: Call, site: Site) -> None:
    site.replies |= {"/": page("Old words about kerosene.", "/gone"), "/gone": page("To be removed: acetylene.")}
    await crawl(site.url())
    site.replies |= {"/": page("New words about electricity.", "/gone")}
    del site.replies["/gone"]
    crawl.handler = crawl.fresh()
    await crawl(site.url())
    assert crawl.found("kerosene") == []
    assert crawl.found("acetylene") == []
    assert crawl.indexed == {site.url()}


# -- robots.txt


async def test_robots_are_obeyed(crawl: Call, site: Site) -> None:
    site.replies |= {
        "/robots.txt": Reply(
            body=b"User-agent: *\nDisallow: /\n\nUser-agent: longhaul\nDisallow: /secret\nAllow: /secret/open\n",
            content_type="text/plain",
        ),
        "/": page("Words.", "/secret", "/secret/open"),
        "/secret/open": page("More words."),
    }
    await crawl(site.url())
    assert site.paths == ["/", "/secret/open"]
    assert crawl.reasons() == {"the site's robots.txt asks crawlers to leave it alone": [site.url("/secret")]}


async def test_a_site_that_wants_no_crawlers_is_left_alone(crawl: Call, site: Site) -> None:
    site.replies["/robots.txt"] = Reply(body=b"User-agent: *\nDisallow: /", content_type="text/plain")
    with pytest.raises(ToolError, match=r"cannot be crawled: the site's robots.txt asks crawlers to leave it alone\.$"):
        await crawl(site.url())
    assert site.paths == []


@pytest.mark.parametrize("status", [404, 401, 403])
async def test_no_robots_means_no_rules(crawl: Call, site: Site, status: int) -> None:
    site.replies |= {"/robots.txt": Reply(status=status), "/": page("Words.")}
    assert (await crawl(site.url()))["pages_indexed"] == 1


@pytest.mark.parametrize("reply", [Reply(status=500), Reply(status=503), Reply(hang=True, length="100")])
async def test_robots_that_cannot_be_read_close_the_site(crawl: Call, site: Site, reply: Reply) -> None:
    site.replies |= {"/robots.txt": reply, "/": page("Words.")}
    with pytest.raises(
        ToolError, match=r"its robots.txt cannot be read because its server failed|its server took too long"
    ):
        await crawl(site.url(), limits={"read_seconds": 0.2})
    assert site.paths == []


async def test_robots_behind_redirects_and_of_any_size_count(crawl: Call, site: Site) -> None:
    rules = b"# much ado\n" * 60_000 + b"User-agent: *\nDisallow: /ignored\n"
    site.replies |= {
        "/robots.txt": redirect("/elsewhere.txt"),
        "/elsewhere.txt": Reply(body=b"User-agent: *\nDisallow: /a\n" + rules, content_type="text/plain"),
        "/": page("Words.", "/a", "/ignored"),
    }
    await crawl(site.url())
    assert site.paths == ["/elsewhere.txt", "/", "/ignored"]
    assert len(json.dumps(crawl.handler.finished)) < 3_000


async def test_the_delay_that_robots_ask_for_is_kept(crawl: Call, site: Site) -> None:
    rules = b"User-agent: *\nCrawl-delay: 0.2\n"
    site.replies |= {"/robots.txt": Reply(body=rules), "/": page("Words.", "/a"), "/a": page("More.")}
    await crawl(site.url())
    assert len(site.times) == 3
    assert all(later - earlier >= 0.19 for earlier, later in pairwise(site.times))


async def test_a_page_may_ask_not_to_be_indexed_or_followed(crawl: Call, site: Site) -> None:
    hidden = page("Hidden words.", "/c").body.replace(b"<head>", b'<head><meta name="robots" content="NOINDEX">')
    closed = page("Closed words.", "/d").body.replace(b"<head>", b'<head><meta name="Longhaul" content="none">')
    site.replies |= {
        "/": page("Words.", "/a", "/b", "/e"),
        "/a": Reply(body=hidden),
        "/b": Reply(body=closed),
        "/c": page("Other words."),
        "/e": Reply(body=page("Tagged words.", "/f").body, headers=("X-Robots-Tag: noindex, nofollow",)),
    }
    await crawl(site.url())
    assert crawl.indexed == {site.url(), site.url("/c")}
    assert crawl.reasons() == {"the page asks not to be indexed": [site.url("/a"), site.url("/b"), site.url("/e")]}


# -- limits


async def test_depth_is_bounded(crawl: Call, site: Site) -> None:
    for n in range(5):
        site.replies[f"/{n}"] = page(f"Words {n}.", f"/{n + 1}")
    result = await crawl(site.url("/0"), max_depth=2)
    assert site.paths == ["/0", "/1", "/2"]
    assert result["skipped"] == [
        {"reason": "more than 2 links away from the first page", "count": 1, "examples": [site.url("/3")]}
    ]


async def test_pages_are_bounded_and_the_rest_is_named(crawl: Call, site: Site) -> None:
    site.replies["/"] = page("Words.", *(f"/{n}" for n in range(9)))
    for n in range(9):
        site.replies[f"/{n}"] = page(f"Words {n}.")
    result = await crawl(site.url(), max_pages=4)
    assert len(site.paths) == 4
    assert result["ended_by"] == "4 pages"
    assert "The crawl ended at its limit: 4 pages." in result["summary"]
    assert result["skipped"][0]["count"] == 6
    assert len(crawl.rows) == 10


async def test_bytes_in_total_are_bounded(crawl: Call, site: Site) -> None:
    site.replies |= {"/": page("Words.", "/a", "/b"), "/a": page("More words."), "/b": page("Still more.")}
    result = await crawl(site.url(), limits={"total_bytes": 600})
    assert result["ended_by"] == "0 MB"
    assert len(site.paths) == 2


async def test_time_is_bounded_and_counts_what_earlier_runs_took(crawl: Call, site: Site) -> None:
    site.replies |= {"/": page("Words.", "/a"), "/a": page("More words.")}
    await crawl(site.url())
    record = crawl.handler.finished[f"step:page {site.url('/').replace('/', '%2F')}"]
    record["seconds"] = 100
    del crawl.handler.finished[f"step:page {site.url('/a').replace('/', '%2F')}"]
    result = await crawl(site.url(), max_seconds=60)
    assert result["ended_by"] == "1 minutes"
    assert site.paths == ["/", "/a"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"x", length="6000000", hang=True),
        Reply(drip=b"<p>words</p>" * 5_000, length=""),
        Reply(body=gzip.compress(b"x" * 50_000_000), headers=("Content-Encoding: gzip",)),
        Reply(body=zlib.compress(b"x" * 50_000_000), headers=("Content-Encoding: deflate",)),
    ],
    ids=["announced", "endless", "gzip bomb", "deflate bomb"],
)
async def test_a_page_that_is_too_large_is_left_out(crawl: Call, site: Site, reply: Reply) -> None:
    site.replies |= {"/": page("Words.", "/big", "/after"), "/big": reply, "/after": page("After.")}
    result = await crawl(site.url())
    assert crawl.reasons() == {"it is larger than 5 MB": [site.url("/big")]}
    assert result["pages_indexed"] == 2


async def test_packed_pages_are_read(crawl: Call, site: Site) -> None:
    raw = zlib.compressobj(wbits=-15)
    bare = raw.compress(page("Bare paraffin.").body) + raw.flush()
    site.replies |= {
        "/": Reply(body=gzip.compress(page("Kerosene.", "/a", "/b").body), headers=("Content-Encoding: gzip",)),
        "/a": Reply(body=bare, headers=("Content-Encoding: deflate",)),
        "/b": Reply(body=b"?", headers=("Content-Encoding: br",)),
    }
    await crawl(site.url())
    assert crawl.found("kerosene") == [(site.url(), "")]
    assert crawl.found("paraffin") == [(site.url("/a"), "")]
    assert crawl.reasons() == {"it is compressed in a way that was not asked for": [site.url("/b")]}


async def test_a_slow_server_is_given_up(crawl: Call, site: Site) -> None:
    site.replies |= {
        "/": page("Words.", "/silent", "/dripping", "/after"),
        "/silent": Reply(body=b"<p>", length="100", hang=True),
        "/dripping": Reply(drip=b" ", length="4000000"),
        "/after": page("After."),
    }
    result = await crawl(site.url(), limits={"read_seconds": 0.2, "page_seconds": 0.6})
    assert set(crawl.reasons()["its server took too long"]) >= {site.url("/silent")}
    assert result["pages_indexed"] == 2


async def test_a_page_with_very_many_links_is_cut_short(crawl: Call, site: Site) -> None:
    site.replies["/"] = page("Words.", *(f"/{n}" for n in range(20_000)))
    await crawl(site.url(), max_pages=2)
    assert len(crawl.rows) == 301
    assert len(json.dumps(crawl.handler.finished)) < 20_000


async def test_the_waiting_pages_are_bounded(crawl: Call, site: Site) -> None:
    site.replies["/"] = page("Words.", *(f"/{n}" for n in range(50)))
    await crawl(site.url(), max_pages=1, limits={"known_pages": 10})
    assert len(crawl.reasons()["found when 10 other pages were waiting"]) == 40


async def test_the_value_stays_small(crawl: Call, site: Site) -> None:
    links = [f"/{n}/{'long' * 100}" for n in range(60)]
    site.replies["/"] = page("Words.", *links)
    site.replies |= {link: page(f"Words of {link[:4]}.", title="=T" * 200) for link in links}
    result = await crawl(site.url(), max_pages=61)
    assert result["pages_indexed"] == 61
    assert len(json.dumps(result)) < 20_000
    assert {row["title"][:2] for row in crawl.rows} == {"A ", "'="}  # no formula for whoever opens the report


# -- redirects


async def test_redirects_are_followed_and_the_page_bears_its_last_address(crawl: Call, site: Site) -> None:
    site.replies |= {"/": redirect("/a"), "/a": redirect("/b", 308), "/b": page("Words.", "/c"), "/c": redirect("/b")}
    await crawl(site.url())
    assert crawl.indexed == {site.url("/b")}
    assert crawl.reasons() == {"it redirects to a page that was asked for already": [site.url("/c")]}


async def test_the_site_is_the_one_to_which_the_first_address_leads(crawl: Call, site: Site) -> None:
    site.replies |= {"/": redirect(site.url("/home", "two.test")), "/home": page("Words.", "/a"), "/a": page("More.")}
    await crawl(site.url())
    assert crawl.indexed == {site.url("/home", "two.test"), site.url("/a", "two.test")}


async def test_endless_redirects_end(crawl: Call, site: Site) -> None:
    site.replies["/"] = page("Words.", "/0", "/round")
    site.replies |= {f"/{n}": redirect(f"/{n + 1}") for n in range(50)}
    site.replies |= {"/round": redirect("/about"), "/about": redirect("/round")}
    await crawl(site.url())
    assert [path for path in site.paths if path[1:].isdigit()] == ["/0", "/1", "/2", "/3", "/4", "/5"]
    assert set(crawl.reasons()) == {
        "it redirects more than 5 times",
        "it redirects to a page that was asked for already",
    }


async def test_a_first_page_that_redirects_for_ever_is_a_sentence(crawl: Call, site: Site) -> None:
    site.replies |= {f"/{n}": redirect(f"/{n + 1}") for n in range(50)}
    with pytest.raises(ToolError, match=r"cannot be crawled: it redirects more than 5 times\.$"):
        await crawl(site.url("/0"))


async def test_a_redirect_to_another_site_is_left_out(crawl: Call, site: Site) -> None:
    site.replies |= {"/": page("Words.", "/a"), "/a": redirect(site.url("/b", "two.test"))}
    await crawl(site.url())
    assert crawl.reasons() == {"it redirects to another site": [site.url("/a")]}
    assert site.paths == ["/", "/a"]


# -- where it goes


async def test_other_sites_are_left_alone_unless_asked_for(crawl: Call, site: Site) -> None:
    other = site.url("/there", "two.test")
    site.replies |= {"/": page("Words.", other, site.url("/www", "www.one.test")), "/there": page("There.")}
    site.replies["/www"] = page("The same site.")
    await crawl(site.url())
    assert crawl.indexed == {site.url(), site.url("/www", "www.one.test")}
    assert crawl.reasons() == {"on another site": [other]}
    await crawl(site.url(), same_site=False)
    assert other in crawl.indexed


# -- a model's call

UNNAMED = (
    "the user has not named its site in this conversation; "
    "to allow it, name the address in your message or run /crawl_site"
)


@pytest.mark.parametrize("tool", ["crawl_here", "crawl_site"])
async def test_a_model_visits_no_site_that_the_user_has_not_named(crawl: Call, site: Site, tool: str) -> None:
    crawl.named_sites = ("two.test",)
    with pytest.raises(ToolError, match=rf"'http://one.test:\d+/' cannot be crawled: {UNNAMED}\.$"):
        await crawl(site.url(), tool=tool)
    assert site.asked == []


async def test_a_model_reads_what_the_user_has_named_and_follows_no_link_elsewhere(crawl: Call, site: Site) -> None:
    crawl.named_sites = (f"One.test:{site.port}", f"two.test:{site.port}")
    named, other, third = (site.url(f"/{n}", f"{n}.test") for n in ("two", "other", "third"))
    site.replies |= {"/": page("Words.", named, other, "/away"), "/two": page("Named words."), "/away": redirect(third)}
    await crawl(site.url(), same_site=False)
    assert crawl.indexed == {site.url(), named}
    assert sorted(crawl.reasons()[UNNAMED]) == [other, third]
    assert site.paths == ["/", "/two", "/away"]


@pytest.mark.parametrize("path", ["/", "/robots.txt"])
async def test_a_redirect_takes_no_model_to_a_site_that_was_not_named(crawl: Call, site: Site, path: str) -> None:
    crawl.named_sites = (f"one.test:{site.port}",)
    site.replies |= {"/": page("Words."), path: redirect(site.url("/other", "three.test"))}
    with pytest.raises(ToolError, match=UNNAMED):
        await crawl(site.url())
    assert "/other" not in site.paths


async def test_links_and_redirects_into_a_private_network_are_not_followed(crawl: Call, site: Site) -> None:
    site.replies |= {
        "/": page(
            "Words.", "http://10.0.0.1/", "http://169.254.169.254/latest/", "http://[::1]/", "http://127.2/",
            "http://inner.private.test/", "http://user:pw@two.test/", "http://two.test:22/", "http://nowhere.example/",
            "/away", "file:///etc/passwd", "javascript:alert(1)", "mailto:ada@example.org", "http://localhost./",
        ),
        "/away": redirect("http://169.254.169.254/latest/meta-data/"),
    }  # fmt: skip
    await crawl(site.url(), same_site=False)
    reasons = crawl.reasons()
    assert set(reasons["it is in a private network"]) == {
        "http://10.0.0.1/", "http://169.254.169.254/latest/", "http://[::1]/", "http://127.2/", "http://localhost./",
        "http://inner.private.test/", "http://169.254.169.254/latest/meta-data/",
    }  # fmt: skip
    assert reasons["it holds a user name or a password"] == ["http://user:pw@two.test/"]
    assert reasons["port 22 is not one of the web"] == ["http://two.test:22/"]
    assert reasons["the name of its server is not known"] == ["http://nowhere.example/"]
    assert site.paths == ["/", "/away"]


# -- what it reads


async def test_text_markdown_and_pdf_are_read_and_the_rest_is_named(crawl: Call, site: Site, tmp_path: Path) -> None:
    making.pdf(tmp_path / "a.pdf", ["The first page.", "The second page tells of acetylene."])
    site.replies |= {
        "/": page("Words.", "/a.pdf", "/bad.pdf", "/notes.txt", "/notes.md", "/data", "/photo.JPG", "/none", "/gone"),
        "/a.pdf": Reply(body=(tmp_path / "a.pdf").read_bytes(), content_type="application/pdf"),
        "/bad.pdf": Reply(body=b"%PDF-1.7 broken", content_type="application/pdf"),
        "/notes.txt": Reply(body="Ein Wächter.".encode("cp1252"), content_type="text/plain; charset=windows-1252"),
        "/notes.md": Reply(body=b"# Oil\n\nColza is pressed.\n", content_type="text/markdown"),
        "/data": Reply(body=b"{}", content_type="application/json"),
        "/none": Reply(body=b"<html><body><p>Untyped words.</p>", content_type=""),
    }
    await crawl(site.url())
    assert crawl.found("acetylene") == [(site.url("/a.pdf"), "page 2")]
    assert crawl.found("Wächter") == [(site.url("/notes.txt"), "")]
    assert crawl.found("colza") == [(site.url("/notes.md"), "§ Oil")]
    assert crawl.found("untyped") == [(site.url("/none"), "")]
    assert crawl.reasons() == {
        "a PDF that is damaged, encrypted or without text": [site.url("/bad.pdf")],
        "not a page of text (application/json)": [site.url("/data")],
        "not a page of text (.jpg)": [site.url("/photo.JPG")],
        "there is no such page (404)": [site.url("/gone")],
    }
    assert "/photo.JPG" not in site.paths


async def test_pages_with_the_same_text_are_indexed_once(crawl: Call, site: Site) -> None:
    site.replies |= {"/": page("Words.", "/a?x=1", "/a?x=2"), "/a?x=1": page("Same."), "/a?x=2": page("Same.")}
    await crawl(site.url())
    assert crawl.reasons() == {"its text is the same as another page's": [site.url("/a?x=2")]}


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>" + b"<div>" * 1_000 + b"deep words about paraffin",
        b"<p>words about paraffin <a href='http://[bad'>x</a><a href='//'>y</a><a href='http://:99999/'>z</a>",
        b"\x00\xd8 not utf-8 \x80\x81 paraffin <<<>>> <a href='http://\xff/'>",
        b"<table><tr><td><form><a href=/next><p>paraffin</table></b></i></html><script>var x='<p>",
        b"\0\0<p>paraffin</p>\0",
        b"<title>" + b"t" * 100_000 + b"</title><p>paraffin",
    ],
    ids=["deep", "bad links", "bad bytes", "unbalanced", "NUL", "long title"],
)
async def test_broken_pages_are_read_as_far_as_they_go(crawl: Call, site: Site, body: bytes) -> None:
    site.replies |= {"/": page("Words.", "/broken"), "/broken": Reply(body=body, content_type="text/html")}
    await crawl(site.url())
    rows = {row["url"]: row for row in crawl.rows}
    assert rows[site.url("/broken")]["outcome"] == "indexed"


@pytest.mark.parametrize(
    "body",
    [
        b"<div>" * 100_000,
        b"<select>" + b"<option>" * 100_000,
        b"<a " + b" ".join(b"a%d" % n for n in range(100_000)) + b">x",
        b"<p>" + b"".join(b"<b a=%d>" % n for n in range(300)) + b"</p>" + b"<p>x" * 100_000,
        b"<p>x" * 400_000,
    ],
    ids=["depth", "options", "attributes", "unclosed", "tags"],
)
async def test_markup_that_would_take_hours_is_left_out(crawl: Call, site: Site, body: bytes) -> None:
    site.replies |= {"/": page("Words.", "/heavy"), "/heavy": Reply(body=body)}
    await crawl(site.url())
    assert crawl.reasons() == {"its markup is too large or too deep to read": [site.url("/heavy")]}


async def test_a_site_with_nothing_to_index_is_a_sentence(crawl: Call, site: Site) -> None:
    site.replies |= {"/": Reply(body=b'<a href="/a"></a>'), "/a": Reply(body=b"<p> </p>")}
    with pytest.raises(ToolError, match=r"Nothing was indexed from 'http://one.test:\d+/': it holds no text\.$"):
        await crawl(site.url())
    assert len(crawl.rows) == 2


async def test_a_page_without_text_is_named(crawl: Call, site: Site) -> None:
    site.replies |= {"/": page("Words.", "/empty"), "/empty": Reply(body=b""), "/blank": Reply(body=b"<p> </p>")}
    await crawl(site.url())
    assert crawl.reasons() == {"it holds no text": [site.url("/empty")]}


async def test_a_server_that_asks_for_patience_gets_it(crawl: Call, site: Site) -> None:
    busy = Reply(status=429, headers=("Retry-After: 0",))
    site.replies |= {"/": page("Words.", "/a"), "/a": busy}
    await crawl(site.url())
    assert crawl.reasons() == {"its server said to try again later (429)": [site.url("/a")]}


# -- the first page


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply(status=404), "there is no such page (404)"),
        (Reply(status=403), "its server forbids it"),
        (Reply(status=418), "its server answered with status 418"),
        (Reply(content_type="image/png", body=b"x"), "not a page of text (image/png)"),
        (Reply(status=302), "it redirects to an invalid address"),
        (redirect("http://169.254.169.254/"), "it is in a private network"),
        (redirect("http://127.0.0.2/"), "it is in a private network"),
        (redirect("http://inner.private.test/"), "it is in a private network"),
        (redirect("ftp://two.test/"), "only http and https addresses are"),
        (Reply(body=b"x", headers=("Content-Encoding: gzip",)), "its server sent something broken"),
        (
            Reply(body=gzip.compress(b"words" * 99)[:20], headers=("Content-Encoding: gzip",)),
            "its server sent something broken",
        ),
    ],
)
async def test_without_its_first_page_there_is_no_crawl(crawl: Call, site: Site, reply: Reply, sentence: str) -> None:
    site.replies["/"] = reply
    with pytest.raises(ToolError) as raised:
        await crawl(site.url())
    assert str(raised.value).endswith(f"cannot be crawled: {sentence}.")
    site.replies["/"] = page("Words.")  # nothing is recorded that would keep a retry from it
    if reply.status != 302 or sentence == "it redirects to an invalid address":
        assert (await crawl(site.url()))["pages_indexed"] == 1


async def test_a_server_that_is_not_there_is_a_sentence(crawl: Call, site: Site) -> None:
    async with serving() as gone:
        pass
    with pytest.raises(ToolError, match=r"cannot be crawled: its server cannot be reached\.$"):
        await crawl(gone.url())
    with pytest.raises(ToolError, match=r"cannot be crawled: the name of its server is not known\.$"):
        await crawl("http://nowhere.example/")


async def test_a_connection_that_breaks_once_is_tried_again(crawl: Call, site: Site) -> None:
    site.replies["/"] = lambda count: Reply(body=b"x", length="9", hang=True) if count == 1 else page("Words.")
    crawling = asyncio.create_task(crawl(site.url(), limits={"read_seconds": 0.2}))
    with pytest.raises(ToolError, match=r"its server took too long"):  # silence is not a broken connection
        await crawling


# -- going on


async def test_a_resumed_crawl_asks_only_for_what_is_missing(crawl: Call, site: Site) -> None:
    for n in range(6):
        site.replies[f"/{n}"] = page(f"Words {n}.", f"/{n + 1}", f"/{n + 2}", "/missing", title=f"Page {n}")
    whole = await crawl(site.url("/0"), max_depth=9)
    first, pages = crawl.rows, [*site.paths]
    kept = {path: value for path, value in crawl.handler.finished.items() if "robots" in path}
    kept |= dict(list(crawl.handler.finished.items())[1:4])
    crawl.handler = crawl.fresh()
    crawl.handler.finished = dict(kept)
    site.asked.clear()
    again = await crawl(site.url("/0"), max_depth=9)
    assert site.paths == pages[3:]
    assert not [path for path, _ in site.asked if path == "/robots.txt"]
    assert again == whole
    assert crawl.rows == first


async def test_a_crawl_that_is_killed_goes_on_in_another_host(crawl: Call, site: Site) -> None:
    site.replies["/0"] = page("Words 0.", "/1")
    site.replies["/1"] = page("Words 1.", "/2")
    site.replies["/2"] = lambda count: Reply(body=b"<p>", length="99", hang=True) if count == 1 else page("Words 2.")
    crawling = asyncio.create_task(crawl(site.url("/0")))
    await asyncio.wait_for(site.hanging.wait(), 20)
    assert crawl.indexed == {site.url("/0"), site.url("/1")}
    pids = [message.removeprefix("pid ") for _, message in crawl.handler.logs if message.startswith("pid ")]
    os.kill(int(pids[0]), signal.SIGKILL)
    result = await asyncio.wait_for(crawling, 30)
    assert [path for path, _ in site.asked] == ["/robots.txt", "/0", "/1", "/2", "/2"]
    assert result["pages_indexed"] == 3


async def test_a_cancelled_crawl_closes_its_connections(crawl: Call, site: Site) -> None:
    site.replies |= {"/": page("Words.", "/a"), "/a": Reply(body=b"<p>", length="99", hang=True)}
    crawling = asyncio.create_task(crawl(site.url()))
    await asyncio.wait_for(site.hanging.wait(), 20)
    assert site.open > 0
    crawling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(crawling, 5)
    async with asyncio.timeout(30):
        while site.open:  # noqa: ASYNC110 - the server's own tasks end by themselves
            await asyncio.sleep(0.005)


async def test_a_crawl_with_a_larger_limit_goes_on_from_a_smaller_one(crawl: Call, site: Site) -> None:
    for n in range(6):
        site.replies[f"/{n}"] = page(f"Words {n}.", f"/{n + 1}")
    await crawl(site.url("/0"), max_pages=2)
    await crawl(site.url("/0"), max_pages=4, max_depth=9)
    assert site.paths == ["/0", "/1", "/2", "/3"]


# -- the tool with its real guard


async def test_it_is_offered_with_what_it_takes(pool: HostPool) -> None:
    spec = next(spec for spec in pool.catalogue if spec.name == "crawl_site")
    assert spec.run_in == "loop"
    names = {"url", "max_pages", "max_depth", "delay_seconds", "same_site", "max_minutes"}
    assert set(spec.parameters["properties"]) == names
    assert spec.parameters["required"] == ["url"]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1/", "it is in a private network"),
        ("http://127.0.0.1:8000/", "it is in a private network"),
        ("http://127.1/", "it is in a private network"),
        ("http://2130706433/", "it is in a private network"),
        ("http://0x7f.1/", "it is in a private network"),
        ("http://0177.0.0.1/", "it is in a private network"),
        ("http://0/", "it is in a private network"),
        ("http://localhost/", "it is in a private network"),
        ("http://localhost./", "it is in a private network"),
        ("http://LOCALHOST:8000/", "it is in a private network"),
        ("http://[::1]/", "it is in a private network"),
        ("http://[::ffff:127.0.0.1]/", "it is in a private network"),
        ("http://[64:ff9b::7f00:1]/", "it is in a private network"),
        ("http://[fd00:ec2::254]/", "it is in a private network"),
        ("http://169.254.169.254/latest/meta-data/", "it is in a private network"),
        ("http://metadata.google.internal/", "it is in a private network"),
        ("http://100.100.100.200/", "it is in a private network"),
        ("http://10.1.2.3/", "it is in a private network"),
        ("http://１２７.0.0.1/", "it is in a private network"),
        ("http://user:pw@example.org/", "it holds a user name or a password"),
        ("http://example.org:22/", "port 22 is not one of the web"),
        ("ftp://example.org/", "only http and https addresses are"),
        ("file:///etc/passwd", "only http and https addresses are"),
        ("gopher://127.0.0.1:70/", "only http and https addresses are"),
        ("javascript:alert(1)", "only http and https addresses are"),
    ],
)
async def test_the_tool_refuses_what_is_not_the_public_web(crawl: Call, url: str, sentence: str) -> None:
    with pytest.raises(ToolError) as raised:
        await crawl(url, tool="crawl_site")
    message = str(raised.value)
    assert message.endswith(f"cannot be crawled: {sentence}.") or message.startswith(f"{url!r} is not the address of a")
    assert crawl.handler.begun == []


@pytest.mark.parametrize("url", ["http://", "what is this", "http://[bad/", "http://a b/ c", "x" * 100, "http:///x"])
async def test_what_is_no_address_is_a_sentence(crawl: Call, url: str) -> None:
    with pytest.raises(ToolError, match=r"is not the address of a web page. Use one such as|cannot be crawled"):
        await crawl(url, tool="crawl_site")


@pytest.mark.parametrize(
    "arguments",
    [{"max_pages": 0}, {"max_pages": 1_001}, {"max_depth": -1}, {"delay_seconds": 0}, {"max_minutes": 601}],
)
async def test_arguments_are_bounded(crawl: Call, arguments: dict[str, Any]) -> None:
    with pytest.raises(ToolArgumentsInvalid):
        await crawl("http://127.0.0.1/", tool="crawl_site", **arguments)
