"""Rooms that Hearth and Synapse share, hosted by either."""

from __future__ import annotations

import pytest

from tests.interop.peer.people import Person

VERSIONS = ["6", "10", "11", "12"]


async def they_meet(host: Person, guest: Person, version: str) -> str:
    room = await host.creates_room(
        public=True, name="Tea", version=version, room_alias_name=f"tea-{host.localpart}"
    )
    assert await guest.joins(f"#tea-{host.localpart}:{host.place.name}") == room
    await host.sees(room, member={guest: "join"})
    return room


@pytest.mark.parametrize("version", VERSIONS)
async def test_hearth_joins_a_room_of_synapse(alice: Person, sam: Person, version: str) -> None:
    room = await they_meet(sam, alice, version)
    await alice.says(room, "hello")
    await sam.sees(room, "hello")
    await sam.says(room, "hello yourself")
    await alice.sees(room, "hello", "hello yourself")


@pytest.mark.parametrize("version", VERSIONS)
async def test_synapse_joins_a_room_of_hearth(alice: Person, sam: Person, version: str) -> None:
    room = await they_meet(alice, sam, version)
    await sam.says(room, "hello")
    await alice.sees(room, "hello")
    await alice.says(room, "hello yourself")
    await sam.sees(room, "hello", "hello yourself")
