"""Who asks: the authenticator, our published keys, and our word as a notary."""

from __future__ import annotations

from typing import Any

import pytest

from config.errors import ConfigError
from config.federation import KeysConfig, OldSigningKey
from federation.inbound.authentication import ServerAuthenticator
from federation.inbound.keys import KeyEndpoints, KeyQuery, OneServerQuery
from federation.outbound.backoff import Backoff
from federation.outbound.identity import Identity, make_identity
from federation.outbound.key_fetching import RemoteKeySource
from federation.outbound.key_store import KeyStore
from federation.outbound.keyring import Keyring, own_known_keys
from federation.outbound.policy import FederationPolicy
from federation.wire.keys import OldKey, parse_server_keys
from federation.wire.x_matrix import Credentials, build_header, parse_headers, sign_request
from homeserver.errors import Forbidden, InvalidParam, MatrixError, Unauthorized
from homeserver.events.signatures import SigningKey, verify_json
from homeserver.http.endpoint import Auth, EndpointDeclaration
from homeserver.http.head import Head
from homeserver.http.request import Request
from homeserver.ids import ServerName
from homeserver.runtime.clock import Clock
from storage.database import Database
from tests.unit.federation.conftest import OUR_KEY, US, inline
from tests.unit.federation.network import KeyServer, MemoryNetwork

DECLARATION = EndpointDeclaration(
    method="PUT",
    path="/x",
    operation="x",
    auth=Auth.FEDERATION,
    rate_limit=None,
    aliases=(),
    max_body=1000,
    guests=False,
    locked=False,
    suspended=True,
    streams=False,
)
SECOND_KEY = SigningKey.of("second", b"s" * 32)


@pytest.fixture
def store(database: Database) -> KeyStore:
    return KeyStore(database)


@pytest.fixture
def keyring(store: KeyStore, network: MemoryNetwork, clock: Clock, policy: FederationPolicy) -> Keyring:
    own = own_known_keys([OUR_KEY], clock.now_ms())
    source = RemoteKeySource(network, policy)
    return Keyring(store, source, clock, inline, server_name=US, own_keys=own)


@pytest.fixture
def authenticator(keyring: Keyring, policy: FederationPolicy, backoff: Backoff) -> ServerAuthenticator:
    return ServerAuthenticator(keyring, policy, backoff, server_name=US)


@pytest.fixture
def there(network: MemoryNetwork, clock: Clock) -> KeyServer:
    return KeyServer(network, clock, "there.test")


URI = "/_matrix/federation/v1/send/1?a=%2F"


def header_of(
    server: KeyServer, *, to: ServerName = US, key: SigningKey | None = None, body: bytes = b"{}"
) -> str:
    return sign_request(
        method="PUT",
        uri=URI,
        origin=server.name,
        destination=to,
        content=body or None,
        key=key or server.key,
    )


def request_with(header: str | None, *, body: bytes = b"{}", uri: str = URI) -> Request:
    headers = {} if header is None else {b"authorization": header.encode("latin-1")}
    head = Head("PUT", uri, b"", headers, len(body), is_1_1=True)
    request = Request(head, request_id="1", client_address="1.1.1.1", is_secure=True, received_at=0.0)
    request.body = body
    return request


async def test_a_signed_request_is_of_its_server(
    authenticator: ServerAuthenticator, there: KeyServer
) -> None:
    request = request_with(header_of(there))
    assert await authenticator.authenticate(request, DECLARATION) == "there.test"
    assert request.user == "there.test"


async def test_the_body_may_be_written_in_any_way(
    authenticator: ServerAuthenticator, there: KeyServer
) -> None:
    request = request_with(header_of(there, body=b'{"a":1,"b":2}'), body=b'{ "b": 2, "a": 1 }')
    assert await authenticator.authenticate(request, DECLARATION) == "there.test"


async def test_a_request_without_body(authenticator: ServerAuthenticator, there: KeyServer) -> None:
    request = request_with(header_of(there, body=b""), body=b"")
    assert await authenticator.authenticate(request, DECLARATION) == "there.test"


async def test_a_destination_may_be_missing(authenticator: ServerAuthenticator, there: KeyServer) -> None:
    from federation.wire.x_matrix import signed_request
    from homeserver.events.signatures import sign_bytes

    message = signed_request(method="PUT", uri=URI, origin=there.name, destination=None, content=b"{}")
    header = build_header(Credentials(there.name, None, there.key.key_id, sign_bytes(message, there.key)))
    assert await authenticator.authenticate(request_with(header), DECLARATION) == "there.test"


async def test_all_signatures_must_check_out(authenticator: ServerAuthenticator, there: KeyServer) -> None:
    there.keys.append(SECOND_KEY)
    both = f"{header_of(there)}, {header_of(there, key=SECOND_KEY)}"
    assert await authenticator.authenticate(request_with(both), DECLARATION) == "there.test"
    wrong = header_of(there, key=SigningKey.of("1", b"f" * 32))
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(request_with(f"{header_of(there)}, {wrong}"), DECLARATION)
    many = ", ".join([header_of(there)] * 6)
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(request_with(many), DECLARATION)


async def test_requests_that_are_not_authentic(
    authenticator: ServerAuthenticator, there: KeyServer, network: MemoryNetwork, clock: Clock
) -> None:
    elsewhere = KeyServer(network, clock, "elsewhere.test")
    good = header_of(there)
    (credentials,) = parse_headers(good)
    bad = [
        request_with(None),
        request_with("Bearer token"),
        request_with(good, body=b'{"a":1}'),
        request_with(good, body=b""),
        request_with(good, uri="/_matrix/federation/v1/send/2"),
        request_with(header_of(there, to=ServerName("third.test"))),
        request_with(header_of(there, key=SigningKey.of("unknown", b"f" * 32))),
        request_with(
            build_header(Credentials(elsewhere.name, US, credentials.key_id, credentials.signature))
        ),
        request_with(f"{good}, {header_of(elsewhere)}"),
        request_with(header_of(there, key=SigningKey.of("1", b"f" * 32))),
    ]
    for request in bad:
        with pytest.raises(Unauthorized):
            await authenticator.authenticate(request, DECLARATION)
    with pytest.raises(MatrixError):
        await authenticator.authenticate(request_with(good, body=b"{"), DECLARATION)


async def test_a_key_that_is_no_longer_valid_signs_no_requests(
    authenticator: ServerAuthenticator, there: KeyServer, clock: Clock
) -> None:
    retired = SigningKey.of("retired", b"r" * 32)
    there.old = [OldKey(retired.key_id, retired.public, clock.now_ms() + 10_000)]
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(request_with(header_of(there, key=retired)), DECLARATION)


async def test_denied_servers_are_refused_before_anything_is_fetched(
    authenticator: ServerAuthenticator, network: MemoryNetwork, clock: Clock
) -> None:
    evil = KeyServer(network, clock, "evil.test")
    with pytest.raises(Forbidden):
        await authenticator.authenticate(request_with(header_of(evil)), DECLARATION)
    assert network.requests == []


async def test_whoever_speaks_is_back(
    authenticator: ServerAuthenticator, there: KeyServer, backoff: Backoff
) -> None:
    backoff.failed(there.name, asked_ms=0)
    cleared: list[str] = []
    backoff.on_cleared(cleared.append)
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(request_with(header_of(there), body=b"[]"), DECLARATION)
    assert backoff.wait_ms(there.name) > 0
    await authenticator.authenticate(request_with(header_of(there)), DECLARATION)
    assert backoff.wait_ms(there.name) == 0
    assert cleared == ["there.test"]


class TestKeyEndpoints:
    @pytest.fixture
    def identity(self) -> Identity:
        return Identity(
            US, [OUR_KEY, SECOND_KEY], [OldKey("ed25519:old", b"o" * 32, 5)], validity_ms=24 * 3_600_000
        )

    @pytest.fixture
    def endpoints(self, identity: Identity, keyring: Keyring, store: KeyStore, clock: Clock) -> KeyEndpoints:
        return KeyEndpoints(identity, keyring, store, clock, software_version="1.2")

    async def test_our_keys(self, endpoints: KeyEndpoints, clock: Clock) -> None:
        for _ in range(20):
            keys = await endpoints.get_server_key()
            parsed = parse_server_keys(keys, US)
            assert parsed.keys.keys() == {OUR_KEY.key_id, SECOND_KEY.key_id, "ed25519:old"}
            assert parsed.valid_until_ms >= clock.now_ms() + 3_600_000
            await clock.sleep(3 * 3600)

    async def ask(self, endpoints: KeyEndpoints, query: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        import msgspec

        body = msgspec.convert({"server_keys": query}, KeyQuery)
        keys: list[dict[str, Any]] = (await endpoints.bulk_perspectives_key_query(body))["server_keys"]
        return keys

    async def test_a_notary_vouches(self, endpoints: KeyEndpoints, there: KeyServer) -> None:
        (keys,) = await self.ask(endpoints, {there.name: {}})
        verify_json(keys, US, {OUR_KEY.key_id: OUR_KEY.public})
        verify_json(keys, US, {SECOND_KEY.key_id: SECOND_KEY.public})
        assert there.key.key_id in parse_server_keys(keys, there.name).keys
        one = await endpoints.perspectives_key_query(there.name, OneServerQuery())
        assert one["server_keys"] == [keys]

    async def test_a_notary_remembers_the_dead(
        self, endpoints: KeyEndpoints, there: KeyServer, clock: Clock
    ) -> None:
        before = await self.ask(endpoints, {there.name: {}})
        there.is_up = False
        await clock.sleep(6 * 24 * 3600)
        assert await self.ask(endpoints, {there.name: {there.key.key_id: {}}}) == before

    async def test_a_notary_asks_again_at_half_life(
        self, endpoints: KeyEndpoints, there: KeyServer, network: MemoryNetwork, clock: Clock
    ) -> None:
        await self.ask(endpoints, {there.name: {}})
        await clock.sleep(1000)
        await self.ask(endpoints, {there.name: {there.key.key_id: {}}})
        assert len(network.requests) == 1
        await clock.sleep(1000)
        await self.ask(endpoints, {there.name: {there.key.key_id: {}}})
        assert len(network.requests) == 2

    async def test_a_notary_asks_again_if_longer_validity_is_needed(
        self, endpoints: KeyEndpoints, there: KeyServer, network: MemoryNetwork, clock: Clock
    ) -> None:
        await self.ask(endpoints, {there.name: {}})
        await clock.sleep(60)
        later = clock.now_ms() + there.validity_ms - 1000
        (keys,) = await self.ask(
            endpoints, {there.name: {there.key.key_id: {"minimum_valid_until_ts": later}}}
        )
        assert keys["valid_until_ts"] >= later

    async def test_unknown_servers_are_left_out(self, endpoints: KeyEndpoints, there: KeyServer) -> None:
        assert await self.ask(endpoints, {"silent.test": {}, "not a name": {}}) == []
        assert await self.ask(endpoints, {}) == []
        one = await endpoints.perspectives_key_query(ServerName("silent.test"), OneServerQuery())
        assert one == {"server_keys": []}

    async def test_we_are_a_server_like_others(self, endpoints: KeyEndpoints) -> None:
        (keys,) = await self.ask(endpoints, {US: {}})
        assert OUR_KEY.key_id in parse_server_keys(keys, US).keys

    async def test_a_query_has_an_end(self, endpoints: KeyEndpoints) -> None:
        with pytest.raises(InvalidParam):
            await self.ask(endpoints, {f"s{n}.test": {} for n in range(201)})

    async def test_version(self, endpoints: KeyEndpoints) -> None:
        assert await endpoints.get_version() == {"server": {"name": "Hearth", "version": "1.2"}}


class TestKeysOfTheConfiguration:
    def config(self, **old: OldSigningKey) -> KeysConfig:
        return KeysConfig(old_signing_keys={f"ed25519:{version}": key for version, key in old.items()})

    def test_the_first_key_signs_and_all_are_published(self) -> None:
        old = OldSigningKey(key=OUR_KEY.public_base64, expired_ts=5)
        identity = make_identity(US, [OUR_KEY, SECOND_KEY], self.config(old=old))
        assert identity.key is OUR_KEY
        published = identity.published(1000)
        assert published["verify_keys"].keys() == {OUR_KEY.key_id, SECOND_KEY.key_id}
        assert published["old_verify_keys"] == {
            "ed25519:old": {"key": OUR_KEY.public_base64, "expired_ts": 5}
        }

    def test_two_keys_of_one_name(self) -> None:
        with pytest.raises(ConfigError):
            make_identity(US, [OUR_KEY, OUR_KEY], self.config())

    @pytest.mark.parametrize("key", ["%%%", "AAAA"])
    def test_a_malformed_old_key(self, key: str) -> None:
        with pytest.raises(ConfigError):
            make_identity(US, [OUR_KEY], self.config(old=OldSigningKey(key=key, expired_ts=5)))
