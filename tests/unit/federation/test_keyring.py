"""The keyring: where keys come from, how often, and what they are good for."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from federation.outbound.key_fetching import Notary, RemoteKeySource
from federation.outbound.key_store import KeyStore
from federation.outbound.keyring import Keyring, own_known_keys
from federation.outbound.policy import FederationPolicy
from federation.wire.keys import OldKey, countersign
from homeserver.errors import InvalidSignature
from homeserver.events.event import Event
from homeserver.events.room_versions import ROOM_VERSIONS
from homeserver.events.signatures import SigningKey, sign_event
from homeserver.ids import ServerName
from homeserver.runtime.clock import Clock
from storage.database import Database
from tests.unit.federation.conftest import OUR_KEY, US, inline
from tests.unit.federation.network import KeyServer, MemoryNetwork

KEYS = "GET /_matrix/key/v2/server"
QUERY = "POST /_matrix/key/v2/query"


def message(
    server: KeyServer, ts: int, *, version: str = "10", key: SigningKey | None = None, n: int = 0
) -> Event:
    pdu: dict[str, Any] = {
        "type": "m.room.message",
        "room_id": "!room:keys.test",
        "sender": f"@user:{server.name}",
        "content": {"body": f"number {n}"},
        "origin_server_ts": ts,
        "depth": 5,
        "prev_events": [],
        "auth_events": [],
    }
    sign_event(pdu, ROOM_VERSIONS[version], server.name, key or server.key)
    return Event.from_pdu(pdu, ROOM_VERSIONS[version])


class Ring:
    """A keyring, and what it asks."""

    def __init__(
        self,
        database: Database,
        network: MemoryNetwork,
        clock: Clock,
        policy: FederationPolicy,
        notaries: list[Notary],
    ) -> None:
        self.store = KeyStore(database)
        self.ring = Keyring(
            self.store,
            RemoteKeySource(network, policy),
            clock,
            inline,
            server_name=US,
            own_keys=own_known_keys([OUR_KEY], clock.now_ms()),
            notaries=notaries,
        )


@pytest.fixture
def ring(database: Database, network: MemoryNetwork, clock: Clock, policy: FederationPolicy) -> Keyring:
    return Ring(database, network, clock, policy, []).ring


@pytest.fixture
def other(network: MemoryNetwork, clock: Clock) -> KeyServer:
    return KeyServer(network, clock, "keys.test")


async def test_keys_are_fetched_once_and_kept(
    ring: Keyring,
    other: KeyServer,
    network: MemoryNetwork,
    clock: Clock,
    database: Database,
    policy: FederationPolicy,
) -> None:
    await ring.verify_event_signatures(message(other, clock.now_ms()))
    await ring.verify_event_signatures(message(other, clock.now_ms()))
    assert network.asked(other.name) == [KEYS]
    # Another process finds them in the database.
    again = Ring(database, network, clock, policy, []).ring
    await again.verify_event_signatures(message(other, clock.now_ms()))
    assert network.asked(other.name) == [KEYS]


async def test_concurrent_questions_are_one(
    ring: Keyring, other: KeyServer, network: MemoryNetwork, clock: Clock
) -> None:
    events = [message(other, clock.now_ms(), n=n) for n in range(5)]
    await gatherResults([Deferred.fromCoroutine(ring.verify_event_signatures(event)) for event in events])
    assert network.asked(other.name) == [KEYS]


async def test_our_own_keys_are_known(ring: Keyring, network: MemoryNetwork) -> None:
    assert await ring.request_key(US, OUR_KEY.key_id) == OUR_KEY.public
    with pytest.raises(InvalidSignature):
        await ring.request_key(US, "ed25519:other")
    assert network.requests == []


async def test_a_wrong_signature_is_refused(ring: Keyring, other: KeyServer, clock: Clock) -> None:
    forged = message(other, clock.now_ms(), key=SigningKey.of("1", b"f" * 32))
    with pytest.raises(InvalidSignature):
        await ring.verify_event_signatures(forged)


async def test_a_key_must_be_valid_at_the_time_of_the_event_as_of_version_5(
    ring: Keyring, other: KeyServer, clock: Clock
) -> None:
    later = clock.now_ms() + 2 * other.validity_ms
    with pytest.raises(InvalidSignature):
        await ring.verify_event_signatures(message(other, later, version="5"))
    await ring.verify_event_signatures(message(other, later, version="4"))


async def test_a_lapsed_key_is_fetched_again(
    ring: Keyring, other: KeyServer, network: MemoryNetwork, clock: Clock
) -> None:
    await ring.request_key(other.name, other.key.key_id)
    await clock.sleep(2 * other.validity_ms / 1000)
    assert await ring.request_key(other.name, other.key.key_id) == other.key.public
    assert network.asked(other.name) == [KEYS, KEYS]


async def test_a_dead_server_vouches_for_old_events_only(
    ring: Keyring, other: KeyServer, clock: Clock
) -> None:
    then = clock.now_ms()
    await ring.verify_event_signatures(message(other, then))
    other.is_up = False
    await clock.sleep(2 * other.validity_ms / 1000)
    await ring.verify_event_signatures(message(other, then, n=1))
    with pytest.raises(InvalidSignature):
        await ring.verify_event_signatures(message(other, clock.now_ms()))
    with pytest.raises(InvalidSignature):
        await ring.request_key(other.name, other.key.key_id)


async def test_a_retired_key_signs_old_events_and_no_requests(
    ring: Keyring, other: KeyServer, clock: Clock
) -> None:
    retired = SigningKey.of("retired", b"r" * 32)
    other.old = [OldKey(retired.key_id, retired.public, clock.now_ms())]
    await ring.verify_event_signatures(message(other, clock.now_ms() - 10, key=retired))
    with pytest.raises(InvalidSignature):
        await ring.verify_event_signatures(message(other, clock.now_ms() + 10, key=retired))
    with pytest.raises(InvalidSignature):
        await ring.request_key(other.name, retired.key_id)


async def test_a_rotated_key_is_learnt(ring: Keyring, other: KeyServer, clock: Clock) -> None:
    await ring.request_key(other.name, other.key.key_id)
    new = SigningKey.of("new", b"n" * 32)
    other.keys.append(new)
    await clock.sleep(11)
    assert await ring.request_key(other.name, new.key_id) == new.public


async def test_made_up_keys_do_not_make_us_ask_again_and_again(
    ring: Keyring, other: KeyServer, network: MemoryNetwork
) -> None:
    for n in range(20):
        with pytest.raises(InvalidSignature):
            await ring.request_key(other.name, f"ed25519:made_up_{n}")
    assert network.asked(other.name) == [KEYS]


async def test_a_silent_server_is_asked_less_and_less(
    ring: Keyring, network: MemoryNetwork, clock: Clock
) -> None:
    for _ in range(60):
        with pytest.raises(InvalidSignature):
            await ring.request_key(ServerName("silent.test"), "ed25519:1")
        await clock.sleep(60)
    assert 5 <= len(network.asked("silent.test")) <= 12


async def test_servers_that_we_do_not_speak_with_are_not_asked(ring: Keyring, network: MemoryNetwork) -> None:
    with pytest.raises(InvalidSignature):
        await ring.request_key(ServerName("evil.test"), "ed25519:1")
    assert network.requests == []


async def test_unknown_signatures_beside_a_good_one_are_skipped(
    ring: Keyring, other: KeyServer, network: MemoryNetwork, clock: Clock
) -> None:
    event = message(other, clock.now_ms())
    pdu = event.pdu
    pdu["signatures"][other.name]["ed25519:policy_server"] = "AAAA"
    await ring.verify_event_signatures(event.with_pdu(pdu))
    await clock.sleep(60)
    await ring.verify_event_signatures(event.with_pdu(pdu))
    assert network.asked(other.name) == [KEYS]


async def test_a_batch_tells_the_good_from_the_bad(
    ring: Keyring, network: MemoryNetwork, clock: Clock
) -> None:
    servers = [KeyServer(network, clock, f"server{n}.test") for n in range(12)]
    servers[3].is_up = False
    events = [message(servers[n % 12], clock.now_ms(), n=n) for n in range(250)]
    forger = SigningKey.of("1", b"f" * 32)
    events[7] = message(servers[7], clock.now_ms(), key=forger, n=7)
    failed = await ring.verify_events(events)
    assert failed.keys() == {event.event_id for n, event in enumerate(events) if n == 7 or n % 12 == 3}
    assert len(network.requests) == 12


class TestNotaries:
    @pytest.fixture
    def notary(self, network: MemoryNetwork, clock: Clock) -> KeyServer:
        return KeyServer(network, clock, "notary.test")

    @pytest.fixture
    def ring(
        self,
        database: Database,
        network: MemoryNetwork,
        clock: Clock,
        policy: FederationPolicy,
        notary: KeyServer,
    ) -> Keyring:
        notaries = [
            Notary(ServerName("gone.test")),
            Notary(notary.name, {notary.key.key_id: notary.key.public}),
        ]
        return Ring(database, network, clock, policy, notaries).ring

    def vouch(self, notary: KeyServer, other: KeyServer, key: SigningKey | None = None) -> None:
        signed = countersign(other.published(), notary.name, [key or notary.key])
        assert signed is not None
        notary.notarised.append(signed)

    async def test_a_notary_speaks_for_the_dead(
        self, ring: Keyring, other: KeyServer, notary: KeyServer, network: MemoryNetwork, clock: Clock
    ) -> None:
        self.vouch(notary, other)
        other.is_up = False
        await ring.verify_event_signatures(message(other, clock.now_ms()))
        assert network.asked(other.name) == [KEYS]
        assert network.asked(notary.name) == [QUERY]

    async def test_a_notary_is_not_asked_for_the_living(
        self, ring: Keyring, other: KeyServer, notary: KeyServer, network: MemoryNetwork, clock: Clock
    ) -> None:
        await ring.verify_event_signatures(message(other, clock.now_ms()))
        assert network.asked(notary.name) == []

    async def test_a_notary_is_asked_first_for_many(
        self, ring: Keyring, notary: KeyServer, network: MemoryNetwork, clock: Clock
    ) -> None:
        servers = [KeyServer(network, clock, f"server{n}.test") for n in range(6)]
        for server in servers[:5]:
            self.vouch(notary, server)
        events = [message(server, clock.now_ms()) for server in servers]
        assert await ring.verify_events(events) == {}
        assert [len(network.asked(server.name)) for server in servers] == [0, 0, 0, 0, 0, 1]

    async def test_a_forged_notary_answer_is_not_believed(
        self, ring: Keyring, other: KeyServer, notary: KeyServer, clock: Clock
    ) -> None:
        self.vouch(notary, other, SigningKey.of("1", b"f" * 32))
        other.is_up = False
        with pytest.raises(InvalidSignature):
            await ring.verify_event_signatures(message(other, clock.now_ms()))

    async def test_an_older_answer_does_not_replace_the_owners_word(
        self, ring: Keyring, other: KeyServer, notary: KeyServer, clock: Clock, database: Database
    ) -> None:
        self.vouch(notary, other)
        await clock.sleep(1800)
        await ring.request_key(other.name, other.key.key_id)
        other.is_up = False
        await clock.sleep(other.validity_ms / 1000 + 60)
        with pytest.raises(InvalidSignature):
            await ring.request_key(other.name, other.key.key_id)
        (key,) = (await KeyStore(database).find([other.name]))[other.name].values()
        assert key.valid_until_ms > clock.now_ms() - 120_000
