"""Asking others: what is reached, what is taken, and how long it may last."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from homeserver.errors import RemoteError
from homeserver.http.client import OutboundHttp
from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.gate.addresses import AddressPolicy
from homeserver.http.gate.fetching import Fetcher, ascii_url
from homeserver.http.gate.tls import Trust
from homeserver.http.rate_limit import Unlimited
from homeserver.http.request import Request
from homeserver.http.responses import Response
from homeserver.http.router import Router
from homeserver.http.server import HttpServer
from homeserver.runtime.clock import Clock
from tests.fixtures.reactor import VirtualReactor
from tests.unit.http.outside import Outside

DENIED = ("127.0.0.0/8", "10.0.0.0/8", "169.254.0.0/16", "::1/128", "fc00::/7")


class Elsewhere:
    """Somebody else's server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.asked: list[tuple[str, str | None, bytes]] = []

    @endpoint("GET", "/echo", auth=Auth.NONE)
    @endpoint("POST", "/echo", auth=Auth.NONE)
    async def echo(self, request: Request) -> dict[str, Any]:
        self.asked.append((request.method, request.header("Authorization"), request.body))
        return {
            "method": request.method,
            "body": request.body.decode(),
            "agent": request.header("User-Agent"),
        }

    @endpoint("GET", "/to/{status}", auth=Auth.NONE)
    @endpoint("POST", "/to/{status}", auth=Auth.NONE)
    async def redirect(self, status: int, request: Request) -> Response:
        target = request.query_string
        return Response(status, b"moved", {"Location": target})

    @endpoint("GET", "/large", auth=Auth.NONE)
    async def large(self) -> Response:
        return Response(200, b"x" * 20_000)

    @endpoint("GET", "/slow/{number}", auth=Auth.NONE)
    async def slow(self, number: int) -> Response:
        await self._clock.sleep(8)
        return Response(302, b"", {"Location": f"/slow/{number + 1}"})

    @endpoint("GET", "/refuses", auth=Auth.NONE)
    async def refuse(self) -> Response:
        return Response(403, {"errcode": "M_FORBIDDEN", "error": "no"})

    @endpoint("GET", "/html", auth=Auth.NONE)
    async def html(self) -> Response:
        return Response(200, b"<html>", {"Content-Type": "text/html"})


@pytest.fixture
def outside(reactor: VirtualReactor) -> Outside:
    return Outside(reactor)


@pytest.fixture
def elsewhere(outside: Outside, clock: Clock) -> Elsewhere:
    endpoints = Elsewhere(clock)
    server = HttpServer(Router([endpoints], {}, Unlimited()), clock, write_access=lambda _: None)
    outside.names = {"good.test": ["203.0.113.1"], "other.test": ["203.0.113.2"], "inside.test": ["10.0.0.1"]}
    for address in ("203.0.113.1", "203.0.113.2", "10.0.0.1", "127.0.0.1"):
        outside.servers[address, 80] = server
    return endpoints


@pytest.fixture
def client(outside: Outside, elsewhere: Elsewhere, clock: Clock) -> OutboundHttp:
    fetcher = Fetcher(outside, clock, AddressPolicy(DENIED), Trust(platform=False), user_agent="Test/1")
    return OutboundHttp(fetcher, clock, max_bytes=10_000, timeout_ms=20_000)


async def test_json_goes_there_and_back(client: OutboundHttp) -> None:
    assert await client.get_json("http://good.test/echo") == {"method": "GET", "body": "", "agent": "Test/1"}
    assert (await client.post_json("http://good.test/echo", {"a": "é"}))["body"] == '{"a":"é"}'


@pytest.mark.parametrize(
    "url",
    [
        "http://inside.test/echo",
        "http://127.0.0.1/echo",
        "http://[::1]/echo",
        "http://[::ffff:127.0.0.1]/echo",
        "http://[::127.0.0.1]/echo",
        "http://[64:ff9b::7f00:1]/echo",
        "http://[2002:7f00:1::]/echo",
        "http://[2001:0:7f00:1::]/echo",
        "http://[fe80::5efe:7f00:1]/echo",
        "http://good.test/to/302?http://inside.test/echo",
        "http://good.test/to/307?http://127.0.0.1/echo",
        "http://nowhere.test/echo",
        "http://203.0.113.9/echo",
        "http://good.test:8080/echo",
        "ftp://good.test/echo",
        "file:///etc/passwd",
        "http://user:secret@good.test/echo",
        "http://good.test:0/",
        "http://good.test:99999/",
        "http://[good.test/",
        "good.test/echo",
        "",
    ],
)
async def test_where_nobody_is_led(
    client: OutboundHttp, elsewhere: Elsewhere, outside: Outside, url: str
) -> None:
    with pytest.raises(RemoteError) as failed:
        await client.request("GET", url, max_redirects=3)
    assert "secret" not in str(failed.value)
    assert elsewhere.asked == []
    assert not {"10.0.0.1", "127.0.0.1", "::1"} & {address for address, _ in outside.connected}


async def test_a_name_is_reached_at_its_allowed_addresses_only(
    client: OutboundHttp, outside: Outside
) -> None:
    outside.names["mixed.test"] = ["10.0.0.1", "203.0.113.1"]
    assert (await client.request("GET", "http://mixed.test/echo")).status == 200
    assert outside.connected == [("203.0.113.1", 80)]


async def test_redirects_are_followed_if_wanted(client: OutboundHttp, elsewhere: Elsewhere) -> None:
    secret = {"Authorization": "Bearer x"}
    url = "http://good.test/to/301?http://other.test/echo"
    assert (await client.request("GET", url, headers=secret)).status == 301
    answer = await client.request("GET", url, headers=secret, max_redirects=1)
    assert (answer.status, answer.url) == (200, "http://other.test/echo")
    await client.request("GET", "http://good.test/to/302?/echo", headers=secret, max_redirects=1)
    await client.request("POST", "http://good.test/to/303?/echo", body=b"a", max_redirects=1)
    await client.request("POST", "http://good.test/to/307?/echo", body=b"a", max_redirects=1)
    assert elsewhere.asked == [
        ("GET", None, b""),
        ("GET", "Bearer x", b""),
        ("GET", None, b""),
        ("POST", None, b"a"),
    ]
    with pytest.raises(RemoteError):
        await client.request("GET", "http://good.test/to/302?/to/302?/echo", max_redirects=1)


async def test_no_more_is_read_than_allowed(client: OutboundHttp) -> None:
    with pytest.raises(RemoteError):
        await client.request("GET", "http://good.test/large")
    assert len((await client.request("GET", "http://good.test/large", max_bytes=20_000)).body) == 20_000
    taken: list[bytes] = []
    await client.request("GET", "http://good.test/large", max_bytes=20_000, open_sink=lambda _: taken.append)
    assert sum(map(len, taken)) == 20_000


async def test_time_is_limited_over_all_redirects(client: OutboundHttp, clock: Clock) -> None:
    before = clock.seconds()
    with pytest.raises(RemoteError, match="20000 ms"):
        await client.request("GET", "http://good.test/slow/1", max_redirects=10)
    assert clock.seconds() - before == pytest.approx(20)


async def test_who_does_not_answer_at_all_is_given_up(
    client: OutboundHttp, outside: Outside, clock: Clock
) -> None:
    class Mute(Protocol):
        """Says nothing."""

    outside.servers["203.0.113.1", 80] = Factory.forProtocol(Mute)
    outside.silent.add("203.0.113.2")
    for host in ("good.test", "other.test"):
        with pytest.raises(RemoteError):
            await client.request("GET", f"http://{host}/echo")


async def test_an_endless_head_is_given_up(client: OutboundHttp, outside: Outside) -> None:
    class Talker(Protocol):
        def connectionMade(self) -> None:
            transport: Any = self.transport
            transport.write(b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 20_000)

    outside.servers["203.0.113.1", 80] = Factory.forProtocol(Talker)
    with pytest.raises(RemoteError):
        await client.request("GET", "http://good.test/echo")


async def test_a_refusal_is_told(client: OutboundHttp) -> None:
    with pytest.raises(RemoteError) as refused:
        await client.get_json("http://good.test/refuses?token=secret")
    assert (refused.value.status, refused.value.errcode) == (403, "M_FORBIDDEN")
    assert "secret" not in str(refused.value)
    with pytest.raises(RemoteError):
        await client.get_json("http://good.test/html")


async def test_a_caller_may_lose_patience(client: OutboundHttp, reactor: VirtualReactor) -> None:
    asking = Deferred.fromCoroutine(client.request("GET", "http://good.test/slow/1"))
    reactor.advance(1)
    failures: list[Any] = []
    asking.addErrback(failures.append)
    asking.cancel()
    reactor.advance(0)
    assert failures


@pytest.mark.parametrize(
    ("url", "ascii_form"),
    [
        ("http://EXAMPLE.org", "http://example.org/"),
        ("https://münchen.example/straße?q=ä b#x", "https://xn--mnchen-3ya.example/stra%C3%9Fe?q=%C3%A4%20b"),
        ("http://h:81/a%2Fb?c=%20", "http://h:81/a%2Fb?c=%20"),
        ("http://[2001:db8::1]:8/", "http://[2001:db8::1]:8/"),
        ("http://h/\r\nX: y", "http://h/X:%20y"),
    ],
)
def test_urls_are_written_in_ascii(url: str, ascii_form: str) -> None:
    assert ascii_url(url) == ascii_form
