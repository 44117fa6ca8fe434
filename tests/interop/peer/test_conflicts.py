"""Hearth and Synapse when many are there and speak at once."""

from __future__ import annotations

import asyncio

import pytest

from tests.harness.client import segment
from tests.interop.peer.people import Person
from tests.interop.peer.test_history import knows_all
from tests.interop.peer.test_rooms import they_agree, they_meet, they_meet_as_peers

CROWD = 20


@pytest.mark.parametrize("version", ["6", "12"])
async def test_many_speak_at_once(host: Person, guest: Person, version: str) -> None:
    """The rooms fork with nearly every message, and state changes on both sides of each fork."""
    room = await they_meet_as_peers(host, guest, version)

    async def chatters(person: Person) -> None:
        for number in range(12):
            await person.says(room, f"{person.localpart} {number}")
            if number % 4 == 0:
                await person.sets(room, "m.room.topic", {"topic": f"{person.localpart} {number}"})
                await person.sets(room, "org.example.note", {"by": person.localpart}, state_key=str(number))

    await asyncio.gather(chatters(host), chatters(guest))
    said = {f"{person.localpart} {number}" for person in (host, guest) for number in range(12)}
    for person in (host, guest):
        await knows_all(person, room, said)
    await they_agree(room, host, guest)


async def test_somebody_joins_a_crowd(host: Person, guest: Person) -> None:
    """A join answers before all members are known; they come, and who speaks meanwhile is heard."""
    room = await host.creates_room(public=True)
    crowd = await asyncio.gather(*(host.place.user("member") for _ in range(CROWD)))
    await asyncio.gather(*(member.joins(room) for member in crowd))
    await guest.joins(room, via=[host.place.name])
    await guest.says(room, "good evening")
    await host.sees(room, "good evening")
    await crowd[7].says(room, "good evening to you")
    await guest.sees(room, "good evening to you")

    async def members() -> int:
        return len(await guest.members(room, membership="join"))

    await guest.waits_for(members, CROWD + 2)
    await they_agree(room, host, guest)


async def test_what_belongs_to_an_event_is_found_across(host: Person, guest: Person) -> None:
    room = await they_meet(host, guest)
    said = await host.says(room, "helo")
    edit = {
        "m.new_content": {"msgtype": "m.text", "body": "hello"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": said},
    }
    await host.says(room, "* hello", **edit)
    await host.sends(
        room, "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": said, "key": "👍"}}
    )
    reply = await host.says(
        room, "in a thread", **{"m.relates_to": {"rel_type": "m.thread", "event_id": said}}
    )
    await guest.sees(room, event=reply)
    bundled = (await guest.event(room, said))["unsigned"]["m.relations"]
    assert bundled["m.replace"]["content"]["m.new_content"]["body"] == "hello"
    assert bundled["m.thread"]["latest_event"]["event_id"] == reply
    path = f"/_matrix/client/v1/rooms/{segment(room)}/relations/{segment(said)}/m.annotation"
    assert [
        each["content"]["m.relates_to"]["key"] for each in (await guest.request("GET", path))["chunk"]
    ] == ["👍"]
    path = f"/_matrix/client/v1/rooms/{segment(room)}/threads"
    assert [each["event_id"] for each in (await guest.request("GET", path))["chunk"]] == [said]
