"""A bridge does its work: ghosts, portal rooms, and messages both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.harness.bridge import Bridge, Ghost
from tests.harness.client import segment
from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


async def hears(server: Server, bridge: Bridge, *bodies: str) -> None:
    """Wait until the bridge has heard exactly this."""
    for _ in range(100):
        if bridge.bodies == list(bodies):
            return
        await server.passes(0.1)
    raise AssertionError(f"the bridge heard {bridge.bodies}")


async def look_up(user: User, path: str, **query: str) -> Any:
    return await user.request("GET", f"/thirdparty/{path}", query=query)


async def test_messages_pass_both_ways(server: Server, bridge: Bridge, alice: User) -> None:
    ghost = await bridge.ghost("_irc_nick")
    room = await alice.creates_room(inviting=ghost)
    await ghost.joins(room)
    await alice.says(room, "hello IRC")
    await hears(server, bridge, "hello IRC")
    await ghost.says(room, "hello Matrix")
    await alice.sees(room, "hello IRC", "hello Matrix")
    await hears(server, bridge, "hello IRC", "hello Matrix")
    invitation = next(e for e in bridge.events if e["content"].get("membership") == "invite")
    assert any(each["type"] == "m.room.create" for each in invitation["unsigned"]["invite_room_state"])
    numbers = [int(txn_id) for txn_id, body in bridge.transactions if body["events"]]
    assert numbers == sorted(set(numbers))


async def test_what_does_not_concern_the_bridge_is_not_told(
    server: Server, bridge: Bridge, alice: User
) -> None:
    room = await alice.creates_room()
    await alice.says(room, "private")
    ghost = await bridge.ghost("_irc_nick")
    other = await alice.creates_room(inviting=ghost)
    await ghost.joins(other)
    await alice.says(other, "for all")
    await hears(server, bridge, "for all")
    assert {event["room_id"] for event in bridge.events} == {other}


async def test_what_was_said_before_a_ghost_left_is_still_told(
    server: Server, bridge: Bridge, alice: User
) -> None:
    ghost = await bridge.ghost("_irc_nick")
    room = await alice.creates_room(inviting=ghost)
    await ghost.joins(room)
    await server.passes(1)
    bridge.fails = 3
    await alice.says(room, "wait")
    await alice.says(room, "for it")
    await ghost.leaves(room)
    await alice.says(room, "gone")
    await server.passes(30)
    assert bridge.bodies == ["wait", "for it"]
    assert bridge.events[-1]["content"]["membership"] == "leave"


async def test_a_bridge_that_fails_is_tried_again_with_the_same_transaction(
    server: Server, bridge: Bridge, alice: User
) -> None:
    ghost = await bridge.ghost("_irc_nick")
    room = await alice.creates_room(inviting=ghost)
    await ghost.joins(room)
    await server.passes(1)
    bridge.transactions.clear()
    bridge.fails = 10**6
    await alice.says(room, "one")
    await server.passes(2)
    await alice.says(room, "two")
    await server.restarts()
    bridge.fails = 0
    await server.passes(400)
    assert bridge.bodies == ["one", "two"]
    assert len(bridge.transactions) == 2


async def test_a_long_silence_is_made_up_for_in_pieces(server: Server, bridge: Bridge, alice: User) -> None:
    ghost = await bridge.ghost("_irc_nick")
    room = await alice.creates_room(inviting=ghost)
    await ghost.joins(room)
    bridge.fails = 10**6
    said = [f"message {number}" for number in range(230)]
    for body in said:
        await alice.says(room, body)
    await server.restarts()
    bridge.fails = 0
    await server.passes(400)
    assert bridge.bodies == said
    assert max(len(body["events"]) for _, body in bridge.transactions) == 100


async def test_what_passes_is_told_too(server: Server, bridge: Bridge, alice: User) -> None:
    ghost = await bridge.ghost("_irc_nick")
    room = await alice.creates_room(inviting=ghost)
    await ghost.joins(room)
    said = await ghost.says(room, "hello")
    await server.passes(1)
    await alice.types_in(room)
    await alice.reads(room, said)
    await alice.reads(room, said, receipt_type="m.read.private")
    await alice.syncs()
    await server.passes(1)
    kinds = {event["type"]: event for event in bridge.ephemeral}
    assert kinds["m.typing"]["room_id"] == room
    assert kinds["m.typing"]["content"] == {"user_ids": [alice.user_id]}
    receipts = kinds["m.receipt"]["content"][said]
    assert list(receipts) == ["m.read"]
    assert list(receipts["m.read"]) == [alice.user_id]
    assert kinds["m.presence"]["sender"] == alice.user_id


async def test_ghosts_are_the_bridges_alone(server: Server, bridge: Bridge, alice: User) -> None:
    with refused("M_EXCLUSIVE", 400):
        await server.user("_irc_nick")
    with refused("M_EXCLUSIVE", 400):
        await bridge.ghost("somebody")
    with refused("M_EXCLUSIVE", 400):
        await alice.creates_room(room_alias_name="_irc_cakes")
    room = await alice.creates_room()
    with refused("M_EXCLUSIVE", 400):
        await alice.request("PUT", f"/directory/room/{segment('#_irc_x:one.test')}", {"room_id": room})
    with refused("M_FORBIDDEN", 403):
        await bridge.acts_as(alice.user_id).says(room, "not me")
    with refused("M_FORBIDDEN", 403):
        await bridge.acts_as("@_irc_unregistered:one.test").creates_room()
    bot = await bridge.client.request("GET", "/account/whoami")
    assert bot["user_id"] == "@ircbot:one.test"


async def test_a_ghost_gets_a_device_and_messages_for_it(server: Server, bridge: Bridge, alice: User) -> None:
    ghost = await bridge.ghost("_irc_nick")
    assert isinstance(ghost, Ghost)
    await ghost.request("PUT", "/devices/BRIDGE", {"display_name": "The bridge"})
    ghost.device = "BRIDGE"
    assert (await ghost.request("GET", "/account/whoami"))["device_id"] == "BRIDGE"
    messages = {ghost.user_id: {"BRIDGE": {"secret": 1}}}
    await alice.request("PUT", "/sendToDevice/org.example/1", {"messages": messages})
    await server.passes(1)
    told = [body for _, body in bridge.transactions if "to_device" in body]
    assert len(told) == 1
    (message,) = told[0]["to_device"]
    assert message["sender"] == alice.user_id
    assert message["to_user_id"] == ghost.user_id
    assert message["to_device_id"] == "BRIDGE"
    assert message["content"] == {"secret": 1}
    assert told[0]["de.sorunome.msc2409.to_device"] == told[0]["to_device"]
    assert told[0]["device_one_time_keys_count"][ghost.user_id]["BRIDGE"] == {}
    with refused("M_UNKNOWN_DEVICE", 400):
        ghost.device = "NONE"
        await ghost.request("GET", "/account/whoami")


async def test_the_bridge_makes_what_is_asked_for(server: Server, bridge: Bridge, alice: User) -> None:
    async def make_user() -> None:
        await bridge.ghost("_irc_late")

    async def make_room() -> None:
        bot = bridge.acts_as("@ircbot:one.test")
        await bot.creates_room(public=True, room_alias_name="_irc_cakes")

    bridge.knows["@_irc_late:one.test"] = make_user
    bridge.knows["#_irc_cakes:one.test"] = make_room
    room = await alice.creates_room(inviting="@_irc_late:one.test")
    await bridge.acts_as("@_irc_late:one.test").joins(room)
    await alice.joins("#_irc_cakes:one.test")
    with refused("M_NOT_FOUND", 404):
        await alice.joins("#_irc_bread:one.test")
    assert bridge.asked == ["@_irc_late:one.test", "#_irc_cakes:one.test", "#_irc_bread:one.test"]


async def test_a_bridge_that_hangs_delays_only_its_own(
    server: Server, bridge: Bridge, slow_bridge: Bridge, alice: User, bob: User
) -> None:
    """Both bridges are in the room; the other's connection is never accepted, and takes a minute to fail."""
    ghost, stuck = await bridge.ghost("_irc_nick"), await slow_bridge.ghost("_slow_nick")
    room = await alice.creates_room(inviting=[ghost, stuck, bob])
    for person in (ghost, stuck, bob):
        await person.joins(room)
    await bob.syncs()
    for number in range(3):
        began = server.clock.now_ms()
        await alice.says(room, str(number))
        await bob.sees(room, str(number))
        assert server.clock.now_ms() == began
    await server.passes(1)
    assert bridge.bodies == ["0", "1", "2"]
    assert slow_bridge.transactions == []


async def test_pings(server: Server, bridge: Bridge, slow_bridge: Bridge) -> None:
    path = "/_matrix/client/v1/appservice/irc/ping"
    answer = await bridge.client.request("POST", path, {"transaction_id": "abc"})
    assert answer["duration_ms"] >= 0
    assert bridge.pings == [{"transaction_id": "abc"}]
    bridge.ping_status = 401
    with refused("M_BAD_STATUS", 502):
        await bridge.client.request("POST", path)
    with refused("M_FORBIDDEN", 403):
        await bridge.client.request("POST", "/_matrix/client/v1/appservice/slow/ping")
    # Nobody accepts a connection there, nor is there anybody at the other address.
    with refused("M_CONNECTION_TIMEOUT", 504):
        await slow_bridge.client.request("POST", "/_matrix/client/v1/appservice/slow/ping")
    outside = server.network
    outside.silent.clear()
    outside.servers.clear()
    with refused("M_CONNECTION_FAILED", 502):
        await slow_bridge.client.request("POST", "/_matrix/client/v1/appservice/slow/ping")


async def test_a_bridge_that_only_asks_cannot_be_pinged(make_server: ServerFactory, tmp_path: Path) -> None:
    quiet = Bridge("quiet")
    server = make_server(app_service_config_files=[quiet.registers(tmp_path, url=None)])
    client = server.client(quiet.as_token)
    with refused("M_URL_NOT_SET", 400):
        await client.request("POST", "/_matrix/client/v1/appservice/quiet/ping")


async def test_other_networks(server: Server, bridge: Bridge, alice: User) -> None:
    protocol: dict[str, Any] = {
        "user_fields": ["nickname"],
        "location_fields": ["channel"],
        "icon": "mxc://one.test/icon",
        "field_types": {"nickname": {"regexp": ".*", "placeholder": "nick"}},
        "instances": [{"network_id": "libera", "desc": "Libera", "fields": {}}],
    }
    place = {"alias": "#_irc_cakes:one.test", "protocol": "irc", "fields": {"channel": "#cakes"}}
    person = {"userid": "@_irc_nick:one.test", "protocol": "irc", "fields": {"nickname": "nick"}}
    bridge.knows |= {"protocol/irc": protocol, "location/irc": [place], "user/irc": [person]}
    bridge.knows |= {"location": [place], "user": [person]}
    instance = {**protocol["instances"][0], "instance_id": "irc|libera"}
    known = await alice.request("GET", "/thirdparty/protocols")
    assert known == {"irc": {**protocol, "instances": [instance]}}
    assert await alice.request("GET", "/thirdparty/protocol/irc") == known["irc"]
    assert await look_up(alice, "location/irc", channel="#cakes") == [place]
    assert await look_up(alice, "user/irc", nickname="nick") == [person]
    assert await look_up(alice, "location", alias="#a:one.test") == [place]
    assert await look_up(alice, "user", userid="@a:one.test") == [person]
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", "/thirdparty/protocol/icq")
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", "/thirdparty/user/icq")
    room = await bridge.acts_as("@ircbot:one.test").creates_room(name="Cakes")
    path = f"/directory/list/appservice/libera/{segment(room)}"
    await bridge.client.request("PUT", path, {"visibility": "public"})
    body = {"third_party_instance_id": "irc|libera"}
    assert [each["room_id"] for each in (await alice.request("POST", "/publicRooms", body))["chunk"]] == [
        room
    ]
    assert (await alice.request("GET", "/publicRooms"))["chunk"] == []
    with refused("M_FORBIDDEN", 403):
        await alice.request("PUT", path, {"visibility": "private"})
