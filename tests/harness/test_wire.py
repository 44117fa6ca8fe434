"""The harness's own connections, against the server's real HTTP stack."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from twisted.internet.task import Clock as VirtualClock

from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.rate_limit import Unlimited
from homeserver.http.responses import StreamedBody
from homeserver.http.router import Router
from homeserver.http.server import HttpServer
from homeserver.runtime.clock import Clock
from tests.conformance.validator import Nonconforming
from tests.harness.client import Client
from tests.harness.pump import Stuck, pump
from tests.harness.refusals import refused
from tests.harness.watch import Watch


class Greeting(msgspec.Struct):
    name: str


class Endpoints:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @endpoint("POST", "/_matrix/client/v3/greet", auth=Auth.NONE)
    async def greet(self, body: Greeting) -> dict[str, str]:
        """Answers after a second."""
        await self._clock.sleep(1)
        return {"greeting": f"hello {body.name}"}

    @endpoint("GET", "/_matrix/client/v3/stream", auth=Auth.NONE)
    async def stream(self) -> StreamedBody:
        """Answers in pieces."""

        async def chunks() -> AsyncIterator[bytes]:
            for number in range(3):
                await self._clock.sleep(1)
                yield b"%d" % number

        return StreamedBody(chunks(), "text/plain")

    @endpoint("GET", "/_matrix/client/v3/account/whoami", auth=Auth.NONE)
    async def whoami(self) -> dict[str, str]:
        """An answer that the specification does not allow."""
        return {"user": "@a:b"}


@pytest.fixture
def virtual() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def client(virtual: VirtualClock, watch: Watch) -> Client:
    clock = Clock(virtual)
    router = Router([Endpoints(clock)], {}, Unlimited())
    return Client(HttpServer(router, clock, write_access=lambda _: None), watch)


def test_a_request_is_answered_in_virtual_time(client: Client, virtual: VirtualClock) -> None:
    answer = pump(virtual, client.request("POST", "/greet", {"name": "bob"}))
    assert answer == {"greeting": "hello bob"}
    assert 1 <= virtual.seconds() < 2


def test_a_chunked_answer_is_read_whole(client: Client, virtual: VirtualClock) -> None:
    assert pump(virtual, client.ask("GET", "/stream")).body == b"012"


def test_refusals_are_named(client: Client, virtual: VirtualClock) -> None:
    async def story() -> None:
        with refused("M_UNRECOGNIZED", 404):
            await client.request("GET", "/nothing")
        with refused("M_BAD_JSON", 400):
            await client.request("POST", "/greet", {"name": 5})
        with pytest.raises(AssertionError, match="nothing was refused"), refused("M_BAD_JSON"):
            await client.request("POST", "/greet", {"name": "eve"})
        with pytest.raises(AssertionError, match="expected M_FORBIDDEN"), refused("M_FORBIDDEN"):
            await client.request("GET", "/nothing")

    pump(virtual, story())


def test_an_answer_that_the_specification_does_not_allow_fails(
    client: Client, virtual: VirtualClock, watch: Watch
) -> None:
    with pytest.raises(Nonconforming, match="user_id"):
        pump(virtual, client.request("GET", "/account/whoami"))
    with pytest.raises(Nonconforming):
        watch.check()


def test_waiting_for_what_never_comes_is_told(client: Client, virtual: VirtualClock) -> None:
    from twisted.internet.defer import Deferred

    async def forever() -> None:
        await Deferred()

    with pytest.raises(Stuck):
        pump(virtual, forever())
