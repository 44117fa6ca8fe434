"""The way out: certificates, SNI and Host by the discovery table, and the limits of what is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet.protocol import Factory, Protocol

from federation.outbound.https import HttpsTransport
from federation.outbound.resolver import Resolver
from federation.outbound.transport import RemoteRequest
from federation.wire.discovery import SrvRecord
from homeserver.errors import RemoteError
from homeserver.http.gate.addresses import AddressPolicy
from homeserver.http.gate.dialing import Dialer
from homeserver.http.gate.exchange import NoAnswer
from homeserver.http.gate.fetching import Fetcher
from homeserver.http.gate.tls import Trust
from homeserver.ids import ServerName
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from tests.conftest import Logged
from tests.fixtures.reactor import VirtualReactor
from tests.harness.certificates import Authority, over_tls
from tests.unit.http.outside import Outside


class Machine:
    """A machine that speaks HTTP over TLS; `answer` makes the bytes of an answer."""

    def __init__(self, reactor: VirtualReactor, context: SSL.Context, answer: Callable[[str], bytes]) -> None:
        self.sni: list[str | None] = []
        self.heads: list[str] = []
        self.connections = 0
        machine = self

        class Http(Protocol):
            transport: Any
            buffer = b""

            def connectionMade(self) -> None:
                machine.connections += 1

            def dataReceived(self, data: bytes) -> None:
                self.buffer += data
                if b"\r\n\r\n" not in self.buffer:
                    return
                head, _, body = self.buffer.partition(b"\r\n\r\n")
                text = head.decode()
                length = next(
                    (int(x.split(":")[1]) for x in text.lower().split("\r\n") if "content-length" in x), 0
                )
                if len(body) < length:
                    return
                self.buffer = body[length:]
                machine.heads.append(text)
                self.transport.write(answer(text))

        self.factory = over_tls(reactor, context, Factory.forProtocol(Http), self.sni)

    @property
    def hosts(self) -> list[str]:
        return [
            line.partition(":")[2].strip()
            for head in self.heads
            for line in head.split("\r\n")
            if line.lower().startswith("host:")
        ]


def ok(body: bytes = b"{}", *headers: str) -> Callable[[str], bytes]:
    lines = "".join(f"{header}\r\n" for header in headers)
    return lambda _head: (
        b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (lines.encode(), len(body), body)
    )


def redirected(url: str) -> Callable[[str], bytes]:
    return lambda _head: b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % url.encode()


class World:
    """The outside, and our transport into it."""

    def __init__(self, reactor: VirtualReactor, clock: Clock, randomness: Randomness, tmp_path: Path) -> None:
        self.reactor = reactor
        self.outside = Outside(reactor)
        self.authority = Authority()
        self.srv: dict[str, Sequence[SrvRecord]] = {}
        trust = Trust([self.authority.write(tmp_path / "ca.pem")], platform=False)
        policy = AddressPolicy(["10.0.0.0/8", "fc00::/7"])
        self.resolver = Resolver(Fetcher(self.outside, clock, policy, trust), self, clock, randomness)
        self.transport = HttpsTransport(
            self.outside,
            clock,
            self.resolver,
            Dialer(self.outside, policy),
            trust,
            user_agent="Hearth/test",
            unverified=("*.lab.test",),
        )

    async def lookup(self, name: str) -> tuple[Sequence[SrvRecord], int]:
        return self.srv.get(name, ()), 60_000

    def machine(
        self, address: str, *names: str, port: int = 8448, answer: Callable[[str], bytes] | None = None
    ) -> Machine:
        made = Machine(self.reactor, self.authority.context(*names), answer or ok())
        self.outside.servers[address, port] = made.factory
        return made

    async def ask(self, server: str, **fields: Any) -> Any:
        fields = {"timeout_ms": 30_000, **fields}
        return await self.transport.request(
            RemoteRequest(ServerName(server), fields.pop("method", "GET"), "/_matrix/x?y=%2F", **fields)
        )


@pytest.fixture
def world(reactor: VirtualReactor, clock: Clock, randomness: Randomness, tmp_path: Path) -> World:
    return World(reactor, clock, randomness, tmp_path)


async def test_an_address_needs_no_names(world: World) -> None:
    machine = world.machine("203.0.113.1", "203.0.113.1")
    await world.ask("203.0.113.1")
    assert machine.sni == [None]
    assert machine.hosts == ["203.0.113.1"]
    assert machine.heads[0].startswith("GET /_matrix/x?y=%2F HTTP/1.1")


async def test_an_ipv6_address(world: World) -> None:
    machine = world.machine("2001:db9::1", "2001:db9::1", port=99)
    await world.ask("[2001:db9::1]:99")
    assert machine.hosts == ["[2001:db9::1]:99"]


async def test_a_port_of_its_own(world: World) -> None:
    world.outside.names["a.test"] = ["203.0.113.1"]
    machine = world.machine("203.0.113.1", "a.test", port=443)
    await world.ask("a.test:443")
    assert machine.sni == ["a.test"]
    assert machine.hosts == ["a.test:443"]


async def test_delegation_by_a_file(world: World) -> None:
    world.outside.names["a.test"] = ["203.0.113.1"]
    world.outside.names["matrix.a.test"] = ["203.0.113.2"]
    world.machine("203.0.113.1", "a.test", port=443, answer=ok(b'{"m.server":"matrix.a.test:1234"}'))
    machine = world.machine("203.0.113.2", "matrix.a.test", port=1234)
    await world.ask("a.test")
    assert machine.sni == ["matrix.a.test"]
    assert machine.hosts == ["matrix.a.test:1234"]


async def test_delegation_by_dns_proves_the_name_before_it(world: World) -> None:
    world.srv["_matrix-fed._tcp.a.test"] = [
        SrvRecord(0, 0, 77, "hoster.test"),
        SrvRecord(1, 0, 78, "hoster.test"),
    ]
    world.outside.names["hoster.test"] = ["203.0.113.3"]
    machine = world.machine("203.0.113.3", "a.test", port=78)
    await world.ask("a.test")
    assert machine.sni == ["a.test"]
    assert machine.hosts == ["a.test"]


async def test_the_default_port(world: World) -> None:
    world.outside.names["a.test"] = ["203.0.113.1"]
    machine = world.machine("203.0.113.1", "a.test")
    await world.ask("a.test")
    await world.ask("a.test", method="PUT", body=b"{}")
    assert machine.hosts == ["a.test", "a.test"]
    # The connection was kept.
    assert machine.connections == 1


async def test_a_name_with_port_443_is_another_server_than_one_without(world: World) -> None:
    world.outside.names["a.test"] = ["203.0.113.1"]
    with_port, without = (world.machine("203.0.113.1", "a.test", port=port) for port in (443, 8448))
    await world.ask("a.test:443")
    await world.ask("a.test")
    assert with_port.hosts[0] == "a.test:443"
    assert without.hosts == ["a.test"]


@pytest.mark.parametrize("names", [("b.test",), ("203.0.113.1",), ("*.b.test", "test")])
async def test_a_certificate_of_another_name(world: World, names: tuple[str, ...]) -> None:
    world.outside.names["a.test"] = ["203.0.113.1"]
    machine = world.machine("203.0.113.1", *names)
    with pytest.raises(NoAnswer):
        await world.ask("a.test")
    assert machine.heads == []


async def test_a_certificate_of_another_authority(world: World) -> None:
    world.outside.names["a.test"] = ["203.0.113.1"]
    world.authority = Authority("Evil CA")
    machine = world.machine("203.0.113.1", "a.test")
    with pytest.raises(NoAnswer):
        await world.ask("a.test")
    assert machine.heads == []


async def test_certificates_of_a_laboratory_are_taken_as_they_are(world: World) -> None:
    world.outside.names["one.lab.test"] = ["203.0.113.1"]
    world.authority = Authority("Laboratory CA")
    machine = world.machine("203.0.113.1", "whatever.test")
    await world.ask("one.lab.test")
    assert machine.sni == ["one.lab.test"]


@pytest.mark.parametrize("name", ["10.0.0.1", "inward.test", "[fc00::1]", "[::ffff:10.0.0.1]"])
async def test_nobody_sends_us_inward(world: World, name: str, logged: Logged) -> None:
    world.outside.names["inward.test"] = ["10.0.0.1", "fc00::1"]
    for address in ("10.0.0.1", "fc00::1", "::ffff:10.0.0.1"):
        world.machine(address, "inward.test", "10.0.0.1")
    with pytest.raises(NoAnswer):
        await world.ask(name)
    assert world.outside.connected == []
    assert any("ip_range_blacklist" in entry["event"] for entry in logged.entries)


INWARD = (
    "10.0.0.1",
    "10.0.0.1:443",
    "inward.test",
    "inward.test:443",
    "mapped.test",
    "translated.test",
    "[fc00::1]",
    "[::ffff:10.0.0.1]",
    "[64:ff9b::a00:1]",
)


def has_an_inside(world: World) -> None:
    """Machines on the inside, under names that everybody can look up."""
    names = {
        "inward.test": ["10.0.0.1", "fc00::1"],
        "mapped.test": ["::ffff:10.0.0.1"],
        "translated.test": ["64:ff9b::a00:1"],
    }
    world.outside.names |= names
    for address in ("10.0.0.1", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"):
        for port in (443, 8448):
            world.machine(address, "a.test", *names, "10.0.0.1", port=port)


@pytest.mark.parametrize("target", INWARD)
@pytest.mark.parametrize("how", ["delegation", "redirect", "address", "record"])
async def test_no_way_to_find_a_server_leads_inward(world: World, target: str, how: str) -> None:
    has_an_inside(world)
    host = target.rpartition(":")[0] if target.endswith(":443") else target
    world.outside.names["a.test"] = ["203.0.113.1"]
    answer = ok(b'{"m.server":"%b"}' % target.encode())
    if how == "redirect":
        answer = redirected(f"https://{target}/.well-known/matrix/server")
    elif how == "address":
        world.outside.names["a.test"] = world.outside.names.get(host, [host.strip("[]")])
    elif how == "record":
        answer = ok(b"nothing")
        world.srv["_matrix-fed._tcp.a.test"] = [SrvRecord(0, 0, 443, host.strip("[]"))]
    if how != "address":
        world.machine("203.0.113.1", "a.test", port=443, answer=answer)
    with pytest.raises(RemoteError):
        await world.ask("a.test")
    assert {address for address, _ in world.outside.connected} <= {"203.0.113.1"}


async def test_an_answer_has_an_end(world: World) -> None:
    world.outside.names["a.test"] = ["203.0.113.1"]
    world.machine("203.0.113.1", "a.test", answer=ok(b"x" * 5000))
    with pytest.raises(RemoteError) as error:
        await world.ask("a.test", max_bytes=4999)
    assert error.value.errcode == "M_TOO_LARGE"
    assert len((await world.ask("a.test", max_bytes=5000)).body) == 5000


async def test_an_answer_without_length_has_an_end_too(world: World) -> None:
    world.outside.names["a.test"] = ["203.0.113.1"]
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n%b\r\n" % (b"x" * 1024) * 10
    world.machine("203.0.113.1", "a.test", answer=lambda _: chunks)
    with pytest.raises(RemoteError) as error:
        await world.ask("a.test", max_bytes=5000)
    assert error.value.errcode == "M_TOO_LARGE"


async def test_a_head_has_an_end(world: World) -> None:
    world.outside.names["a.test"] = ["203.0.113.1"]
    world.machine("203.0.113.1", "a.test", answer=lambda _: b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000)
    with pytest.raises(NoAnswer):
        await world.ask("a.test")


async def test_an_answer_comes_in_time(world: World, clock: Clock) -> None:
    world.outside.names["a.test"] = ["203.0.113.1"]
    world.machine("203.0.113.1", "a.test", answer=lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    before = clock.seconds()
    with pytest.raises(NoAnswer):
        await world.ask("a.test", timeout_ms=5000)
    assert 4.9 < clock.seconds() - before < 5.6


async def test_a_machine_that_swallows_connections(world: World, clock: Clock) -> None:
    world.outside.silent.add("203.0.113.1")
    before = clock.seconds()
    with pytest.raises(NoAnswer):
        await world.ask("203.0.113.1", timeout_ms=60_000)
    assert clock.seconds() - before < 15


async def test_a_sink_takes_the_body(world: World) -> None:
    world.outside.names["a.test"] = ["203.0.113.1"]
    world.machine("203.0.113.1", "a.test", answer=ok(b"media", "Content-Type: image/png"))
    got: list[bytes] = []
    types: list[str | None] = []

    def open_sink(answer: Any) -> Any:
        types.append(answer.headers.get("content-type"))
        return got.append

    answer = await world.ask("a.test", open_sink=open_sink)
    assert (b"".join(got), types, answer.body) == (b"media", ["image/png"], b"")
