"""Previews of links, and where nobody is led by one."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest

from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.rate_limit import Unlimited
from homeserver.http.request import Request
from homeserver.http.responses import Response
from homeserver.http.router import Router
from homeserver.http.server import HttpServer
from tests.features.media.pictures import picture
from tests.fixtures.databases import Engine
from tests.fixtures.reactor import VirtualReactor
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User
from tests.unit.http.outside import Outside

V1 = "/_matrix/client/v1/media"
PAGE = """<!DOCTYPE html><html><head><title>Not this</title>
<meta property="og:title" content="Cakes &amp; more"><meta property="og:description" content="How to   bake">
<meta property="og:image" content="/cake.png"><meta property="og:image:width" content="12">
</head><body><p>Words.</p></body></html>"""
INSIDE = ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1")


class Pages:
    """Somebody else's pages. `says` is what stands at a path: body, type, and perhaps more headers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.languages: list[str | None] = []
        self.says: dict[str, tuple[bytes, dict[str, str]]] = {
            "": (PAGE.encode(), {"Content-Type": "text/html; charset=utf-8"}),
            "cake.png": (picture(48, 32), {"Content-Type": "image/png"}),
        }

    @endpoint("GET", "/{path...}", auth=Auth.NONE)
    async def page(self, path: str, request: Request) -> Response:
        self.asked.append(path)
        self.languages.append(request.header("Accept-Language"))
        if path not in self.says:
            return Response(404, b"no", {"Content-Type": "text/plain"})
        body, headers = self.says[path]
        return Response(302 if "Location" in headers else 200, body, headers)


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def outside(reactor: VirtualReactor) -> Outside:
    outside = Outside(reactor)
    outside.names = {
        "cakes.test": ["203.1.113.1"],
        "inside.test": ["10.0.0.1"],
        "mapped.test": ["::ffff:127.0.0.1"],
        "nat64.test": ["64:ff9b::7f00:1"],
    }
    return outside


@pytest.fixture
def server(
    reactor: VirtualReactor, engine: Engine, outside: Outside, pages: Pages, request: pytest.FixtureRequest
) -> Iterator[Server]:
    server = Server(
        reactor,
        engine,
        seed=request.node.name,
        url_preview_enabled=True,
        max_spider_size="100K",
        url_preview_accept_language=["de", "en"],
        url_preview_url_blacklist=[{"netloc": "*.secret.test"}, {"path": "^/private", "scheme": "http"}],
    )
    server.network = outside
    site = HttpServer(Router([pages], {}, Unlimited()), server.clock, write_access=None)
    for address in ("203.1.113.1", *INSIDE, "::ffff:127.0.0.1", "64:ff9b::7f00:1"):
        outside.servers[address, 80] = site
    reactor.drive(server.starts())
    yield server
    reactor.drive(server.stops())


async def preview(user: User, url: str) -> dict[str, Any]:
    return await user.request("GET", f"{V1}/preview_url", query={"url": url})


async def test_a_page_is_what_it_says_of_itself(alice: User, bob: User, pages: Pages) -> None:
    found = await preview(alice, "http://cakes.test/#middle")
    uri = found.pop("og:image")
    assert found == {
        "og:title": "Cakes & more",
        "og:description": "How to bake",
        "og:image:type": "image/png",
        "og:image:width": 48,
        "og:image:height": 32,
        "matrix:image:size": len(picture(48, 32)),
    }
    assert (await bob.downloads(uri)).body == picture(48, 32)
    assert await preview(bob, "http://cakes.test/") == {**found, "og:image": uri}
    assert pages.asked == ["", "cake.png"]
    assert pages.languages[0] == "de, en;q=0.9"


async def test_a_preview_is_made_again_after_a_while(server: Server, alice: User, pages: Pages) -> None:
    await preview(alice, "http://cakes.test/")
    await server.passes(3601)
    pages.says[""] = (b"<title>New</title>", {"Content-Type": "text/html"})
    assert await preview(alice, "http://cakes.test/") == {"og:title": "New"}


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"<title>Only</title><p>Some words that are long enough.</p>", "text/html",
         {"og:title": "Only", "og:description": "Some words that are long enough."}),
        ("<title>Kätzchen</title>".encode("latin-1"), "text/html; charset=iso-8859-1", {"og:title": "Kätzchen"}),
        (b"<meta charset=windows-1251><title>\xc4\xe0</title>", "text/html", {"og:title": "Да"}),
        (b"<title>x</title>", "text/html; charset=idna", {"og:title": "x"}),
        (b"", "text/html", {}),
        (b"%PDF", "application/pdf", {"og:title": "it"}),
        (b"<meta property='og:image' content='http://inside.test/x.png'><title>t</title>", "text/html",
         {"og:title": "t"}),
        (b"<meta property='og:image' content='cake.html'><title>t</title>", "text/html", {"og:title": "t"}),
        (b"<div>" * 15_000 + b"<title>deep</title>", "text/html", {}),
        (b"<!DOCTYPE html [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]><title>&b;</title>", "text/html", None),
    ],
)  # fmt: skip
async def test_pages_of_all_kinds(
    alice: User, pages: Pages, body: bytes, content_type: str, expected: dict[str, Any] | None
) -> None:
    pages.says["it"] = (body, {"Content-Type": content_type})
    found = await preview(alice, "http://cakes.test/it")
    assert expected is None or found == expected


async def test_a_picture_is_its_own_preview(alice: User) -> None:
    found = await preview(alice, "http://cakes.test/cake.png")
    assert (found["og:title"], found["og:image:width"]) == ("cake.png", 48)


@pytest.mark.parametrize(
    "url",
    [
        "http://inside.test/",
        "http://mapped.test/",
        "http://nat64.test/",
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::a00:1]/",
        "http://[fd00::1]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://nowhere.test/",
        "http://cakes.test/hop",
        "http://cakes.test/hop-to-address",
        "http://cakes.test/hop-to-secret",
        "http://cakes.test/hop-to-file",
        "http://cakes.test/round",
        "http://cakes.test/large",
        "http://cakes.test/missing",
    ],
)
async def test_nobody_is_led_inside(alice: User, pages: Pages, outside: Outside, url: str) -> None:
    for name, target in (
        ("hop", "http://inside.test/"),
        ("hop-to-address", "http://[::ffff:10.0.0.1]/"),
        ("hop-to-secret", "http://a.secret.test/"),
        ("hop-to-file", "file:///etc/passwd"),
        ("round", "/round"),
    ):
        pages.says[name] = (b"", {"Location": target})
    pages.says["large"] = (b"x" * 200_000, {"Content-Type": "text/html"})
    answer = await alice.ask("GET", f"{V1}/preview_url", query={"url": url})
    assert answer.status in (400, 403, 502)
    reached = {address for address, _ in outside.connected}
    assert reached <= {"203.1.113.1"}


@pytest.mark.parametrize(
    ("url", "errcode"),
    [
        ("http://www.secret.test/", "M_FORBIDDEN"),
        ("http://cakes.test/private/x", "M_FORBIDDEN"),
        ("ftp://cakes.test/", "M_INVALID_PARAM"),
        ("file:///etc/passwd", "M_INVALID_PARAM"),
        ("javascript:alert(1)", "M_INVALID_PARAM"),
        ("http://user:password@cakes.test/", "M_INVALID_PARAM"),
        ("http://[cakes.test/", "M_INVALID_PARAM"),
        ("http:///nothing", "M_INVALID_PARAM"),
        ("http://cakes.test:99999/", "M_INVALID_PARAM"),
        ("http://cakes.test/" + "x" * 5000, "M_INVALID_PARAM"),
        ("", "M_INVALID_PARAM"),
    ],
)
async def test_some_links_are_not_previewed(alice: User, pages: Pages, url: str, errcode: str) -> None:
    answer = await alice.ask("GET", f"{V1}/preview_url", query={"url": url})
    assert answer.errcode == errcode
    assert pages.asked == []


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"<div>" * 15_000 + b"deep", {}),
        (b"<!DOCTYPE x [" + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12))
         + b"]><html><title>&a11;</title></html>", {"Content-Type": "application/xhtml+xml"}),
        (gzip.compress(b"<title>x</title>" + b" " * 50_000_000), {"Content-Encoding": "gzip"}),
        (b'<meta property="og:title" content="' + b"x" * 90_000 + b'">', {}),
        (b"<title>" + b"&#x1F600;" * 9_000, {}),
        (b"\xff\xfe<\x00t\x00i\x00t\x00l\x00e\x00>", {"Content-Type": "text/html; charset=utf-7"}),
        (b'<meta property="og:image" content="/cake.png">' * 2_000, {}),
    ],
)  # fmt: skip
async def test_a_page_that_is_meant_to_hurt(
    alice: User, pages: Pages, body: bytes, headers: dict[str, str]
) -> None:
    """It is refused, or shown as little: nothing of it is expanded beyond what was fetched."""
    pages.says["evil"] = (body, {"Content-Type": "text/html", **headers})
    answer = await alice.ask("GET", f"{V1}/preview_url", query={"url": "http://cakes.test/evil"})
    assert answer.status in (200, 502)
    assert len(answer.body) < 10_000
    assert len(pages.asked) <= 3


async def test_what_failed_leaves_no_file(server: Server, alice: User, pages: Pages) -> None:
    pages.says["large"] = (b"x" * 200_000, {"Content-Type": "text/html"})
    pages.says["fake.png"] = (b"no picture", {"Content-Type": "image/png"})
    for name in ("large", "fake.png", "missing"):
        await alice.ask("GET", f"{V1}/preview_url", query={"url": f"http://cakes.test/{name}"})
    assert [path for path in server.config.media.media_store_path.rglob("*") if path.is_file()] == []


async def test_the_link_must_be_given(alice: User) -> None:
    with refused("M_MISSING_PARAM", 400):
        await alice.request("GET", f"{V1}/preview_url")


async def test_the_old_path_answers_too(alice: User) -> None:
    answer = await alice.request("GET", "/_matrix/media/v3/preview_url", query={"url": "http://cakes.test/"})
    assert answer["og:title"] == "Cakes & more"
