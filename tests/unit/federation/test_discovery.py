"""Server discovery: the decisions, and the look-ups in their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.names import dns
from twisted.names.error import (
    AuthoritativeDomainError,
    DNSNameError,
    DNSQueryTimeoutError,
    DNSServerError,
    ResolverError,
)

from federation.outbound.resolver import DnsSrvLookup, Resolver
from federation.wire import well_known
from federation.wire.discovery import (
    Address,
    Route,
    SrvRecord,
    order_srv,
    route_without_lookup,
    split_server_name,
)
from homeserver.errors import RemoteError
from homeserver.http.gate.reading import Answer
from homeserver.ids import ServerName
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness


@pytest.mark.parametrize(
    ("name", "route"),
    [
        ("1.2.3.4", Route((Address("1.2.3.4", 8448),), "1.2.3.4", "1.2.3.4")),
        ("1.2.3.4:80", Route((Address("1.2.3.4", 80),), "1.2.3.4:80", "1.2.3.4")),
        ("[::1]", Route((Address("::1", 8448),), "[::1]", "::1")),
        ("[::1]:80", Route((Address("::1", 80),), "[::1]:80", "::1")),
        ("a.test:80", Route((Address("a.test", 80),), "a.test:80", "a.test")),
        ("a.test", None),
        ("1.2.3.4.5", None),
    ],
)
def test_names_that_say_where_to_connect(name: str, route: Route | None) -> None:
    assert route_without_lookup(ServerName(name)) == route


def test_a_name_that_only_looks_like_an_address_is_a_host() -> None:
    assert not split_server_name("1.2.3.4.5").is_ip
    assert not split_server_name("999.1.1.1:80").is_ip


records = st.lists(
    st.builds(SrvRecord, st.integers(0, 3), st.integers(0, 20), st.just(1), st.text("ab", min_size=1))
)


@given(records, st.randoms())
def test_srv_records_keep_their_priorities(given_records: list[SrvRecord], random: object) -> None:
    ordered = order_srv(given_records, lambda limit: limit // 2)
    assert Counter(ordered) == Counter(given_records)
    assert [one.priority for one in ordered] == sorted(one.priority for one in given_records)


def test_srv_weights_are_chances() -> None:
    light, heavy = SrvRecord(1, 1, 1, "light"), SrvRecord(1, 9, 1, "heavy")
    first = Counter(order_srv([light, heavy], lambda _limit, n=n: n)[0].target for n in range(11))  # type: ignore[misc]  # bound in the loop
    assert first == {"heavy": 9, "light": 2}


def test_a_service_that_is_declared_absent() -> None:
    assert order_srv([SrvRecord(0, 0, 0, ".")], lambda _: 0) == []


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"m.server": "matrix.a.test:443"}', "matrix.a.test:443"),
        (b'{"m.server": "[::1]"}', "[::1]"),
        (b'{"m.server": ""}', None),
        (b'{"m.server": "https://a.test"}', None),
        (b'{"m.server": 5}', None),
        (b'{"m.homeserver": {}}', None),
        (b"[]", None),
        (b"<html>", None),
        (b"\xff", None),
    ],
)
def test_well_known_files(body: bytes, name: str | None) -> None:
    assert well_known.parse_well_known(body) == name


HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("headers", "hours"),
    [
        ({}, 24),
        ({"cache-control": "max-age=7200"}, 2),
        ({"cache-control": 'public, Max-Age="7200"'}, 2),
        ({"cache-control": "max-age=99999999999999999999"}, 48),
        ({"cache-control": "max-age=nonsense"}, 24),
        ({"cache-control": "no-store"}, 1 / 12),
        ({"cache-control": "max-age=1"}, 1 / 12),
        ({"expires": "Tue, 14 Nov 2023 23:13:20 GMT"}, 1),
        ({"expires": "Tue, 14 Nov 2000 23:13:20 GMT"}, 1 / 12),
        ({"expires": "0"}, 1 / 12),
        ({"cache-control": "max-age=7200", "expires": "0"}, 2),
    ],
)
def test_cache_lifetimes(headers: dict[str, str], hours: float) -> None:
    assert well_known.lifetime_ms(headers, now_ms=1_700_000_000_000) == hours * HOUR_MS


def test_errors_are_remembered_longer_each_time() -> None:
    lifetimes = [well_known.error_lifetime_ms(failures) for failures in range(1, 9)]
    assert lifetimes == sorted(lifetimes)
    assert lifetimes[0] == 60_000
    assert lifetimes[-1] == HOUR_MS


class Web:
    """The web servers of the test, and DNS."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.files: dict[str, Answer] = {}
        self.srv: dict[str, Sequence[SrvRecord]] = {}
        self.dns_is_down = False
        self.asked: list[str] = []

    async def fetch(self, method: str, url: str, **_limits: Any) -> Answer:
        self.asked.append(url)
        await self.clock.sleep(1)
        answer = self.files.get(url)
        if answer is None:
            raise RemoteError("nobody there")
        return answer

    async def lookup(self, name: str) -> tuple[Sequence[SrvRecord], int]:
        self.asked.append(name)
        if self.dns_is_down:
            raise RemoteError("no answer")
        return self.srv.get(name, ()), 60_000

    def delegate(self, host: str, to: str) -> None:
        self.files[f"https://{host}/.well-known/matrix/server"] = Answer(
            200, {}, b'{"m.server":"%b"}' % to.encode()
        )


@pytest.fixture
def web(clock: Clock) -> Web:
    return Web(clock)


@pytest.fixture
def resolver(web: Web, clock: Clock, randomness: Randomness) -> Resolver:
    return Resolver(web, web, clock, randomness)


A = ServerName("a.test")


@pytest.mark.parametrize(
    ("delegated", "srv", "route"),
    [
        (None, {}, Route((Address("a.test", 8448),), "a.test", "a.test")),
        (
            None,
            {"_matrix-fed._tcp.a.test": ("s.test", 1)},
            Route((Address("s.test", 1),), "a.test", "a.test"),
        ),
        (None, {"_matrix._tcp.a.test": ("s.test", 2)}, Route((Address("s.test", 2),), "a.test", "a.test")),
        (
            None,
            {"_matrix._tcp.a.test": ("s.test", 2), "_matrix-fed._tcp.a.test": ("t.test", 3)},
            Route((Address("t.test", 3),), "a.test", "a.test"),
        ),
        ("1.2.3.4", {}, Route((Address("1.2.3.4", 8448),), "1.2.3.4", "1.2.3.4")),
        ("[::1]:5", {}, Route((Address("::1", 5),), "[::1]:5", "::1")),
        ("b.test:443", {}, Route((Address("b.test", 443),), "b.test:443", "b.test")),
        ("b.test", {}, Route((Address("b.test", 8448),), "b.test", "b.test")),
        (
            "b.test",
            {"_matrix-fed._tcp.b.test": ("s.test", 1)},
            Route((Address("s.test", 1),), "b.test", "b.test"),
        ),
        (
            "b.test",
            {"_matrix._tcp.b.test": ("s.test", 1)},
            Route((Address("s.test", 1),), "b.test", "b.test"),
        ),
        (
            "b.test",
            {"_matrix-fed._tcp.a.test": ("s.test", 1)},
            Route((Address("b.test", 8448),), "b.test", "b.test"),
        ),
    ],
)
async def test_the_steps_of_discovery(
    web: Web, resolver: Resolver, delegated: str | None, srv: dict[str, tuple[str, int]], route: Route
) -> None:
    if delegated is not None:
        web.delegate("a.test", delegated)
    web.srv = {name: [SrvRecord(0, 0, port, target)] for name, (target, port) in srv.items()}
    assert await resolver.resolve(A) == route


async def test_answers_are_cached_and_errors_less_long(web: Web, resolver: Resolver, clock: Clock) -> None:
    await resolver.resolve(A)
    await resolver.resolve(A)
    assert len(web.asked) == 3
    web.asked.clear()
    await clock.sleep(61)
    web.delegate("a.test", "b.test:1")
    assert (await resolver.resolve(A)).host_header == "b.test:1"
    await clock.sleep(23 * 3600)
    del web.files["https://a.test/.well-known/matrix/server"]
    assert (await resolver.resolve(A)).host_header == "b.test:1"
    assert len(web.asked) == 1
    await clock.sleep(2 * 3600)
    assert (await resolver.resolve(A)).host_header == "a.test"


async def test_a_route_that_does_not_work_is_asked_for_again(web: Web, resolver: Resolver) -> None:
    web.delegate("a.test", "b.test:1")
    await resolver.resolve(A)
    web.delegate("a.test", "c.test:1")
    resolver.forget(A)
    assert (await resolver.resolve(A)).host_header == "c.test:1"


async def test_the_last_dns_answer_stands_while_dns_is_down(
    web: Web, resolver: Resolver, clock: Clock
) -> None:
    web.srv["_matrix-fed._tcp.a.test"] = [SrvRecord(0, 0, 1, "s.test")]
    route = await resolver.resolve(A)
    web.dns_is_down = True
    await clock.sleep(600)
    assert await resolver.resolve(A) == route
    assert (await resolver.resolve(ServerName("b.test"))).addresses == (Address("b.test", 8448),)


async def test_concurrent_questions_are_one(web: Web, resolver: Resolver, clock: Clock) -> None:
    from twisted.internet.defer import Deferred, gatherResults

    routes = await gatherResults([Deferred.fromCoroutine(resolver.resolve(A)) for _ in range(5)])
    assert len({route.host_header for route in routes}) == 1
    assert len(web.asked) == 3


class FakeDns:
    """A `twisted.names` resolver with one answer."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def lookupService(self, name: str, timeout: Any = None) -> Any:  # noqa: N802  # Twisted's name
        from twisted.internet.defer import fail, succeed

        return fail(self._answer) if isinstance(self._answer, Exception) else succeed((self._answer, [], []))


async def test_dns_answers() -> None:
    payload: Any = dns.Record_SRV(10, 20, 8448, b"s.test")
    found = dns.RRHeader(b"_matrix-fed._tcp.a.test", dns.SRV, ttl=60, payload=payload)
    target: Any = dns.Record_CNAME(b"y.test")
    alias = dns.RRHeader(b"x.test", dns.CNAME, ttl=1, payload=target)
    records, lifetime_ms = await DnsSrvLookup(FakeDns([alias, found])).lookup("_matrix-fed._tcp.a.test")
    assert list(records) == [SrvRecord(10, 20, 8448, "s.test")]
    assert lifetime_ms == 60_000


@pytest.mark.parametrize("error", [DNSNameError(None), AuthoritativeDomainError()])
async def test_a_name_that_dns_does_not_have(error: Exception) -> None:
    records, _ = await DnsSrvLookup(FakeDns(error)).lookup("_matrix-fed._tcp.a.test")
    assert list(records) == []


@pytest.mark.parametrize("error", [DNSServerError(None), DNSQueryTimeoutError(1), ResolverError()])
async def test_dns_that_does_not_answer(error: Exception) -> None:
    with pytest.raises(RemoteError):
        await DnsSrvLookup(FakeDns(error)).lookup("_matrix-fed._tcp.a.test")
