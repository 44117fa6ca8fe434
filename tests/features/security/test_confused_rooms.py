"""What is said of one room, in the URL, has no effect on another, in the body; nor what is said of other users."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.client import segment
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

V1 = "/_matrix/client/v1"


async def test_events_of_another_room_are_out_of_reach(server: Server, alice: User, bob: User) -> None:
    """Bob has all the power in his own room, and is not in the other."""
    theirs = await alice.creates_room()
    secret = await alice.says(theirs, "a secret")
    own = segment(await bob.creates_room())
    event = segment(secret)
    for method, path, body in (
        ("GET", f"/rooms/{own}/event/{event}", None),
        ("GET", f"/rooms/{own}/context/{event}", None),
        ("GET", f"{V1}/rooms/{own}/relations/{event}", None),
        ("GET", f"/events/{event}", None),
        ("PUT", f"/rooms/{own}/redact/{event}/t1", {}),
        ("PUT", f"/rooms/{own}/send/m.room.redaction/t2", {"redacts": secret}),
        ("POST", f"/rooms/{own}/report/{event}", {"reason": "x"}),
        ("PUT", f"{V1}/rooms/{own}/thread/{event}/subscription", {}),
    ):
        answer = await bob.ask(method, path, body)
        assert answer.status in (400, 403, 404), f"{method} {path}: {answer.status} {answer.body!r}"
        assert b"a secret" not in answer.body
    # A receipt or a marker for an event that may still come is taken, and means nothing to others.
    await bob.request("POST", f"/rooms/{own}/receipt/m.read/{event}")
    await bob.request("POST", f"/rooms/{own}/read_markers", {"m.fully_read": secret, "m.read": secret})
    assert "m.receipt" not in str(await bob.syncs())
    assert (await alice.event(theirs, secret))["content"]["body"] == "a secret"
    assert "redacted_because" not in (await alice.event(theirs, secret)).get("unsigned", {})


async def test_relations_do_not_reach_into_another_room(server: Server, alice: User, bob: User) -> None:
    theirs = await alice.creates_room()
    root = await alice.says(theirs, "a secret")
    own = await bob.creates_room()
    for relation in (
        {"rel_type": "m.thread", "event_id": root},
        {"rel_type": "m.replace", "event_id": root},
        {"rel_type": "m.annotation", "event_id": root, "key": "+1"},
        {"m.in_reply_to": {"event_id": root}},
    ):
        try_it = {"m.relates_to": relation, "m.new_content": {"msgtype": "m.text", "body": "changed"}}
        answer = await bob.ask(
            "PUT",
            f"/rooms/{segment(own)}/send/m.room.message/{relation.get('rel_type')}",
            {"body": "x", **try_it},
        )
        assert answer.status in (200, 400)
    reply = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
    own_reply = await alice.says(theirs, "a reply", **reply)
    await bob.redacts(own, await bob.says(own, "x", **reply))
    seen = (await alice.event(theirs, root))["unsigned"]["m.relations"]
    assert (list(seen), seen["m.thread"]["count"]) == (["m.thread"], 1)
    related = await alice.request("GET", f"{V1}/rooms/{segment(theirs)}/relations/{segment(root)}")
    assert [event["event_id"] for event in related["chunk"]] == [own_reply]
    threads = await bob.request("GET", f"{V1}/rooms/{segment(own)}/threads")
    assert "a secret" not in str(threads)


async def test_the_room_of_a_body_is_not_heeded(server: Server, alice: User, bob: User) -> None:
    theirs = await alice.creates_room(name="Tea")
    own = await bob.creates_room(
        initial_state=[
            {"type": "m.room.topic", "state_key": "", "content": {"topic": "mine"}, "room_id": theirs},
        ]
    )
    await bob.request("PUT", f"/rooms/{segment(own)}/state/m.room.name", {"name": "Mine", "room_id": theirs})
    await bob.request("POST", f"/rooms/{segment(own)}/invite", {"user_id": alice.user_id, "room_id": theirs})
    with refused("M_FORBIDDEN", 403):
        await bob.request("PUT", "/directory/room/%23tea:one.test", {"room_id": theirs})
    state = {event["type"]: event["content"] for event in await alice.whole_state(theirs)}
    assert state["m.room.name"] == {"name": "Tea"}
    assert "m.room.topic" not in state


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/user/{alice}/filter", {}),
        ("GET", "/user/{alice}/filter/0", None),
        ("GET", "/user/{alice}/account_data/m.direct", None),
        ("PUT", "/user/{alice}/account_data/m.direct", {}),
        ("GET", "/user/{alice}/rooms/{room}/account_data/m.tag", None),
        ("PUT", "/user/{alice}/rooms/{room}/account_data/org.example", {}),
        ("GET", "/user/{alice}/rooms/{room}/tags", None),
        ("PUT", "/user/{alice}/rooms/{room}/tags/m.favourite", {"order": 0.5}),
        ("DELETE", "/user/{alice}/rooms/{room}/tags/m.favourite", None),
        ("POST", "/user/{alice}/openid/request_token", {}),
        ("PUT", "/profile/{alice}/displayname", {"displayname": "Eve"}),
        ("DELETE", "/profile/{alice}/displayname", None),
        ("PUT", "/presence/{alice}/status", {"presence": "offline"}),
        ("PUT", "/rooms/{room}/typing/{alice}", {"typing": True}),
        ("PUT", "/rooms/{room}/state/m.room.member/{alice}", {"membership": "join"}),
        ("GET", "/admin/whois/{alice}", None),
        ("GET", "/devices/{device}", None),
        ("PUT", "/devices/{device}", {"display_name": "Eve's"}),
    ],
)
async def test_nobody_acts_for_somebody_else(
    server: Server, alice: User, bob: User, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """Bob owns the room; alice is in it."""
    room = await bob.creates_room(inviting=alice)
    await alice.joins(room)
    where = path.format(alice=alice.user_id, room=segment(room), device=alice.device_id)
    answer = await bob.ask(method, where, body)
    assert answer.status in (403, 404), answer.body
    assert (await alice.request("GET", f"/profile/{alice.user_id}"))["displayname"] == "alice"


async def test_devices_of_others_are_not_deleted(server: Server, alice: User, bob: User) -> None:
    await bob.confirms("POST", "/delete_devices", {"devices": [alice.device_id]})
    await bob.confirms("DELETE", f"/devices/{alice.device_id}")
    assert (await alice.request("GET", "/account/whoami"))["device_id"] == alice.device_id
