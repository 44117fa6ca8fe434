"""What administrators decide of the rooms of their server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.user import User


async def state_of(user: User, room: str, event_type: str) -> dict[str, Any]:
    content: dict[str, Any] = await user.state(room, event_type)
    return content


@pytest.mark.parametrize(
    ("setting", "private", "public"), [("all", True, True), ("invite", True, False), ("off", False, False)]
)
async def test_new_rooms_may_be_encrypted(
    make_server: ServerFactory, setting: str, private: bool, public: bool
) -> None:
    server = make_server(encryption_enabled_by_default_for_room_type=setting)
    alice = await server.user("alice")
    for is_public, is_encrypted in ((False, private), (True, public)):
        room = await alice.creates_room(public=is_public)
        if is_encrypted:
            assert (await state_of(alice, room, "m.room.encryption"))["algorithm"] == "m.megolm.v1.aes-sha2"
        else:
            with refused("M_NOT_FOUND", 404):
                await alice.state(room, "m.room.encryption")


async def test_an_upgrade_encrypts_nothing(make_server: ServerFactory) -> None:
    server = make_server(encryption_enabled_by_default_for_room_type="invite")
    alice = await server.user("alice")
    room = await alice.creates_room(public=True)
    new = (await alice.request("POST", f"/rooms/{room}/upgrade", {"new_version": "11"}))["replacement_room"]
    with refused("M_NOT_FOUND", 404):
        await alice.state(new, "m.room.encryption")


async def test_power_levels_have_other_defaults(make_server: ServerFactory) -> None:
    server = make_server(default_power_level_content_override={"private_chat": {"invite": 50}})
    alice = await server.user("alice")
    private, public = await alice.creates_room(), await alice.creates_room(public=True)
    wished = await alice.creates_room(power_level_content_override={"invite": 7})
    levels = [await state_of(alice, room, "m.room.power_levels") for room in (private, public, wished)]
    assert [each["invite"] for each in levels] == [50, 50, 7]
    assert levels[0]["kick"] == 50


async def test_only_administrators_invite(make_server: ServerFactory) -> None:
    server = make_server(block_non_admin_invites=True)
    alice, bob, carol = [await server.user(name) for name in ("alice", "bob", "carol")]
    await server.homeserver.services.users.accounts.set_admin(alice.user_id, admin=True)
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    with refused("M_FORBIDDEN", 403):
        await bob.invites(room, carol)
    with refused("M_FORBIDDEN", 403):
        await bob.creates_room(inviting=carol)
    await alice.invites(room, carol)


async def test_aliases_and_publishing_have_rules(make_server: ServerFactory) -> None:
    server = make_server(
        alias_creation_rules=[
            {"user_id": "@bob:*", "action": "deny"},
            {"alias": "#open-*", "action": "allow"},
        ],
        room_list_publication_rules=[{"alias": "#open-*", "action": "allow"}],
    )
    alice, bob = await server.user("alice"), await server.user("bob")
    room = await alice.creates_room(public=True)
    path = f"/directory/list/room/{room}"
    with refused("M_FORBIDDEN", 403):
        await alice.request("PUT", path, {"visibility": "public"})
    with refused("M_FORBIDDEN", 403):
        await alice.request("PUT", "/directory/room/%23closed:one.test", {"room_id": room})
    await alice.request("PUT", "/directory/room/%23open-1:one.test", {"room_id": room})
    await alice.request("PUT", path, {"visibility": "public"})
    await alice.request("PUT", path, {"visibility": "private"})
    await bob.joins(room)
    with refused("M_FORBIDDEN", 403):
        await bob.request("PUT", "/directory/room/%23open-2:one.test", {"room_id": room})
    with refused("M_FORBIDDEN", 403):
        await alice.creates_room(room_alias_name="closed")
    with refused("M_FORBIDDEN", 403):
        await alice.creates_room(visibility="public")
    await alice.creates_room(visibility="public", room_alias_name="open-3")


async def test_strangers_may_name_rooms_and_the_list_may_be_closed(make_server: ServerFactory) -> None:
    server = make_server(require_membership_for_aliases=False, enable_room_list_search=False)
    alice, bob = await server.user("alice"), await server.user("bob")
    room = await alice.creates_room(public=True, visibility="public")
    await bob.request("PUT", "/directory/room/%23bobs:one.test", {"room_id": room})
    for method, body in (("GET", None), ("POST", {})):
        answer = await bob.request(method, "/publicRooms", body)
        assert answer["chunk"] == []


async def test_new_users_find_themselves_in_rooms(make_server: ServerFactory) -> None:
    server = make_server(
        auto_join_rooms=["#welcome:one.test", "#gone:elsewhere.test"], allow_guest_access=True
    )
    alice, bob = await server.user("alice"), await server.user("bob")
    (room,) = (await alice.request("GET", "/joined_rooms"))["joined_rooms"]
    assert (await bob.request("GET", "/joined_rooms"))["joined_rooms"] == [room]
    assert (await bob.request("GET", "/directory/room/%23welcome:one.test"))["room_id"] == room
    assert (await alice.state(room, "m.room.create")).get("m.federate") is None
    assert room in [one["room_id"] for one in (await bob.request("GET", "/publicRooms"))["chunk"]]


async def test_private_first_rooms_are_made_by_their_host(make_server: ServerFactory) -> None:
    server = make_server(
        auto_join_rooms=["#staff:one.test"],
        auto_join_mxid_localpart="host",
        autocreate_auto_join_room_preset="private_chat",
        autocreate_auto_join_rooms_federated=False,
    )
    host, alice = await server.user("host"), await server.user("alice")
    (room,) = (await alice.request("GET", "/joined_rooms"))["joined_rooms"]
    assert (await host.request("GET", "/joined_rooms"))["joined_rooms"] == [room]
    assert (await alice.state(room, "m.room.create"))["m.federate"] is False
    assert (await alice.state(room, "m.room.join_rules"))["join_rule"] == "invite"


@pytest.mark.parametrize(
    ("rules", "joins_direct", "joins_group"),
    [
        ({"enabled": True}, True, True),
        ({"enabled": True, "only_for_direct_messages": True}, True, False),
        ({"enabled": False}, False, False),
    ],
)
async def test_invitations_may_be_accepted_by_themselves(
    make_server: ServerFactory, rules: dict[str, bool], joins_direct: bool, joins_group: bool
) -> None:
    server = make_server(auto_accept_invites=rules)
    alice, bob = await server.user("alice"), await server.user("bob")
    direct = await alice.creates_room(inviting=bob, is_direct=True)
    group = await alice.creates_room()
    await alice.invites(group, bob)
    await server.passes(1)
    joined = (await bob.request("GET", "/joined_rooms"))["joined_rooms"]
    assert (direct in joined, group in joined) == (joins_direct, joins_group)
