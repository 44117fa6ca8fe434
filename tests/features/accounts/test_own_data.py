"""What users keep on the server, as their other devices and their rooms hear of it."""

from __future__ import annotations

from typing import Any

import pytest

from storage import users
from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


def account_data(answer: dict[str, Any]) -> dict[str, Any]:
    """The account data of a sync's answer, by type."""
    events = answer.get("account_data", {}).get("events", [])
    return {event["type"]: event["content"] for event in events}


async def test_account_data_reaches_the_other_device(server: Server, alice: User) -> None:
    phone = await server.logs_in(alice)
    await phone.syncs()
    await alice.keeps("org.example.colour", {"is": "blue"})
    assert account_data(await phone.syncs(timeout_ms=1000)) == {"org.example.colour": {"is": "blue"}}
    assert account_data(await phone.syncs()) == {}
    newcomer = await server.logs_in(alice)
    everything = account_data(await newcomer.syncs())
    assert everything["org.example.colour"] == {"is": "blue"}
    assert "m.push_rules" in everything


async def test_nobody_else_hears_of_it(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    await bob.syncs()
    await alice.keeps("org.example.colour", {"is": "blue"})
    await alice.keeps("org.example.colour", {"is": "red"}, room=room)
    answer = await bob.syncs()
    assert account_data(answer) == {}
    assert not answer.get("rooms")


async def test_tags_reach_the_other_device(server: Server, alice: User) -> None:
    room = await alice.creates_room()
    phone = await server.logs_in(alice)
    await phone.syncs()
    await alice.request("PUT", f"/user/{alice.user_id}/rooms/{room}/tags/u.work", {"order": 0.5})
    answer = await phone.syncs(timeout_ms=1000)
    assert account_data(answer["rooms"]["join"][room]) == {"m.tag": {"tags": {"u.work": {"order": 0.5}}}}


async def test_push_rules_reach_the_other_device_and_count(server: Server, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    phone = await server.logs_in(bob)
    await phone.syncs()
    await bob.request("PUT", f"/pushrules/global/room/{room}", {"actions": []})
    rules = account_data(await phone.syncs(timeout_ms=1000))["m.push_rules"]
    assert rules["global"]["room"][0]["rule_id"] == room
    await alice.says(room, "nobody is notified of this")
    await bob.sees(room, "nobody is notified of this", unread=0)
    await bob.request("DELETE", f"/pushrules/global/room/{room}")
    await alice.says(room, "but of this")
    await bob.sees(room, "but of this", unread=1)


async def test_a_new_name_reaches_the_rooms(alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    await bob.sees(room, member={alice: "join"})
    await alice.sets_profile("displayname", "Alice of Wonderland")
    await alice.sets_profile("avatar_url", "mxc://one.test/alice")

    def knows(client: Any) -> bool:
        content = client.rooms[room].content("m.room.member", alice.user_id)
        return bool(
            content.get("displayname") == "Alice of Wonderland"
            and content.get("avatar_url") == "mxc://one.test/alice"
        )

    await bob.waits_until(knows, "the new name and picture")
    assert (await bob.state(room, "m.room.member", alice.user_id))["displayname"] == "Alice of Wonderland"


async def test_profiles_may_be_for_those_who_share_a_room(make_server: ServerFactory) -> None:
    server = make_server(limit_profile_requests_to_users_who_share_rooms=True)
    alice, bob = await server.users("alice", "bob")
    with refused("M_FORBIDDEN", 403):
        await bob.request("GET", f"/profile/{alice.user_id}")
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    assert await bob.request("GET", f"/profile/{alice.user_id}") == {"displayname": "alice"}
    with refused("M_MISSING_TOKEN", 401):
        await server.client().request("GET", f"/profile/{alice.user_id}")


async def test_a_deleted_device_is_gone_from_the_list(server: Server, alice: User) -> None:
    phone = await server.logs_in(alice, initial_device_display_name="Phone")
    devices = (await alice.request("GET", "/devices"))["devices"]
    assert {device["device_id"] for device in devices} == {alice.device_id, phone.device_id}
    await alice.confirms("POST", "/delete_devices", {"devices": [phone.device_id]})
    devices = (await alice.request("GET", "/devices"))["devices"]
    assert [device["device_id"] for device in devices] == [alice.device_id]


@pytest.mark.parametrize("erase", [False, True])
async def test_who_is_deactivated_leaves(server: Server, alice: User, bob: User, *, erase: bool) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    other = await alice.creates_room(inviting=bob)
    await bob.confirms("POST", "/account/deactivate", {"erase": erase})
    await alice.sees(room, member={bob: "leave"})
    await alice.sees(other, member={bob: "leave"})
    with refused("M_USER_DEACTIVATED", 403):
        await server.logs_in(bob)


async def test_who_was_leaving_when_the_server_stopped_leaves_when_it_starts(
    server: Server, alice: User, bob: User
) -> None:
    room = await alice.creates_room(inviting=bob)
    await server.homeserver.surroundings.database.run(users.add_departing, bob.user_id)
    await server.restarts()
    await alice.sees(room, member={bob: "leave"})
    database = server.homeserver.surroundings.database
    assert await database.read(users.list_departing) == []
