"""The harness's own connections, against the server's real HTTP stack."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost

from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.rate_limit import Unlimited
from homeserver.http.responses import StreamedBody
from homeserver.http.router import Router
from homeserver.http.server import HttpServer
from homeserver.runtime.clock import Clock
from tests.conformance.validator import Nonconforming
from tests.harness.client import Client
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
def watch() -> Watch:
    return Watch()


@pytest.fixture
def client(clock: Clock, watch: Watch) -> Client:
    router = Router([Endpoints(clock)], {}, Unlimited())
    return Client(HttpServer(router, clock, write_access=lambda _: None), watch)


async def test_a_request_is_answered_in_virtual_time(client: Client, clock: Clock) -> None:
    began = clock.seconds()
    assert await client.request("POST", "/greet", {"name": "bob"}) == {"greeting": "hello bob"}
    assert 1 <= clock.seconds() - began < 2


async def test_a_chunked_answer_is_read_whole(client: Client) -> None:
    assert (await client.ask("GET", "/stream")).body == b"012"


async def test_refusals_are_named(client: Client) -> None:
    with refused("M_UNRECOGNIZED", 404):
        await client.request("GET", "/nothing")
    with refused("M_BAD_JSON", 400) as refusal:
        await client.request("POST", "/greet", {"name": 5})
    assert "name" in refusal.error
    with pytest.raises(AssertionError, match="nothing was refused"), refused("M_BAD_JSON"):
        await client.request("POST", "/greet", {"name": "eve"})
    with pytest.raises(AssertionError, match="expected M_FORBIDDEN"), refused("M_FORBIDDEN"):
        await client.request("GET", "/nothing")


async def test_an_answer_that_the_specification_does_not_allow_fails(client: Client, watch: Watch) -> None:
    with pytest.raises(Nonconforming, match="user_id"):
        await client.request("GET", "/account/whoami")
    with pytest.raises(Nonconforming):
        watch.check()


async def test_a_client_that_hangs_up_is_gone(client: Client) -> None:
    asking = Deferred.fromCoroutine(client.request("POST", "/greet", {"name": "bob"}))
    client.hang_up()
    with pytest.raises(ConnectionLost):
        await asking


async def test_a_client_that_stops_reading_makes_the_server_wait(client: Client, clock: Clock) -> None:
    connection = client.connection()
    asking = connection.send(b"GET /_matrix/client/v3/stream HTTP/1.1\r\nHost: test\r\n\r\n")
    connection.transport.hold()
    await clock.sleep(10)
    assert not asking.called
    connection.transport.release()
    assert (await asking).body == b"012"
