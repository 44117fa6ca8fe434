"""Signing keys that change while rooms go on."""

from __future__ import annotations

from dataclasses import replace

from config.federation import OldSigningKey
from homeserver.events.signatures import SigningKey
from homeserver.runtime.random import SeededRandomness
from tests.conftest import Logged
from tests.harness.server import Server
from tests.harness.user import User


async def gets_a_new_key(server: Server) -> None:
    """What an operator does: a new key in the file, the old one in the configuration, and a restart."""
    old, expired_ts = server.signing_key, server.clock.now_ms()
    server.signing_key = SigningKey.of("b_test", SeededRandomness(f"new key of {server.name}").bytes(32))
    known = {
        **server.config.keys.old_signing_keys,
        old.key_id: OldSigningKey(key=old.public_base64, expired_ts=expired_ts),
    }
    server.config = replace(server.config, keys=replace(server.config.keys, old_signing_keys=known))
    await server.passes(60)
    await server.restarts()


async def test_a_server_with_a_new_key_is_still_believed(two: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(public=True)
    await bob.joins(room, via=["one.test"])
    await bob.says(room, "by the old key")
    await alice.sees(room, "by the old key")
    await gets_a_new_key(two)
    await bob.says(room, "by the new key")
    await alice.sees(room, "by the old key", "by the new key")
    await alice.says(room, "well met")
    await bob.sees(room, "well met")


async def test_a_server_knows_what_it_signed_with_its_old_key(
    two: Server, alice: User, bob: User, logged: Logged
) -> None:
    """Others tell it of its own events when it comes back to a room."""
    room = await alice.creates_room(
        public=True,
        power_level_content_override={"users": {alice.user_id: 100, bob.user_id: 50}},
        version="11",
    )
    await bob.joins(room, via=["one.test"])
    await bob.sets(room, "m.room.topic", {"topic": "by the old key"})
    await alice.sees(room, state={"m.room.topic": {"topic": "by the old key"}})
    carol = await two.user("carol")
    await bob.leaves(room)
    await alice.sees(room, member={bob: "leave"})
    await gets_a_new_key(two)
    await alice.says(room, "while nobody was there")
    await carol.joins(room, via=["one.test"])
    await alice.sees(room, member={carol: "join"})
    await carol.sees(
        room, member={alice: "join", bob: "leave"}, state={"m.room.topic": {"topic": "by the old key"}}
    )
    assert not [entry for entry in logged.entries if "does not pass" in entry["event"]]
