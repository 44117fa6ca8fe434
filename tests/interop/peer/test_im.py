"""The IM API of Hearth, as somebody with a stock client on Synapse sees it: rooms, members and events, no more."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from homeserver.events.signatures import SigningKey, sign_json
from homeserver.im.link_tokens import LinkToken
from tests.harness.client import segment
from tests.harness.im_user import ImUser
from tests.harness.refusals import refused
from tests.interop.peer.people import Person


@pytest.fixture
def ann(alice: Person) -> ImUser:
    """Somebody with the IM API, on Hearth."""
    return ImUser(alice)


async def become_friends(ann: ImUser, sam: Person) -> str:
    room = str((await ann.asks(sam, "it is me"))["room_id"])
    await sam.sees(room, membership="invite")
    await sam.joins(room)
    await sam.sees(room, membership="join")
    await ann.sees_friends(ImUser(sam))
    return room


async def test_a_friend_request_is_an_invitation(ann: ImUser, sam: Person) -> None:
    room = str((await ann.asks(sam, "it is me"))["room_id"])
    await sam.sees(room, membership="invite")
    invitation = sam.room(room).stripped_state["m.room.member", sam.user_id]
    assert invitation["content"]["is_direct"] is True
    await sam.joins(room)
    await ann.sees_friends(ImUser(sam))
    await ann.says(room, "hello")
    await sam.sees(room, "hello")
    await sam.says(room, "hello yourself")
    await ann.stock.sees(room, "hello yourself")
    assert (await ann.conversation(room))["unread"] == 1
    assert [each["body"] for each in (await ann.history(room))["items"] if "body" in each][-2:] == [
        "hello",
        "hello yourself",
    ]


async def test_a_friend_request_is_declined(ann: ImUser, sam: Person) -> None:
    room = str((await ann.asks(sam))["room_id"])
    await sam.sees(room, membership="invite")
    await sam.leaves(room)
    await ann.sees_requests("rejected", direction="out")
    assert await ann.friends() == []


async def test_an_invitation_to_talk_is_a_friend_request(ann: ImUser, sam: Person) -> None:
    room = await sam.creates_room(inviting=ann.stock, is_direct=True, preset="trusted_private_chat")
    await ann.sees_requests("pending")
    assert await ann.accepts(sam) == room
    await ann.sees_friends(ImUser(sam))
    await sam.sees(room, member={ann.stock: "join"})
    await sam.says(room, "here you are")
    await ann.stock.sees(room, "here you are")


async def test_who_is_no_friend_any_more_has_left(ann: ImUser, sam: Person) -> None:
    room = await become_friends(ann, sam)
    await ann.parts_from(ImUser(sam))
    await sam.sees(room, member={ann.stock: "leave"})
    assert await ann.friends() == []
    # Who asks again knocks on the same door, and comes in once it is opened.
    assert (await ann.asks(sam))["room_id"] == room
    await sam.sees(room, member={ann.stock: "knock"})
    await sam.invites(room, ann.stock)
    await sam.sees(room, member={ann.stock: "join"})
    await ann.sees_friends(ImUser(sam))


async def test_a_friend_who_leaves_is_none_any_more(ann: ImUser, sam: Person) -> None:
    room = await become_friends(ann, sam)
    await sam.leaves(room)
    await ann.sees_friends()


async def test_what_is_recalled_is_redacted(ann: ImUser, alice: Person, sam: Person) -> None:
    room = await become_friends(ann, sam)
    sent = await ann.says(room, "in haste")
    await sam.sees(room, "in haste")
    await ann.call("PUT", f"/messages/{segment(sent['event_id'])}/recall", {})
    await sam.sees_redacted(room, sent["event_id"])
    said = await sam.says(room, "in haste too")
    await ann.stock.sees(room, "in haste too")
    await sam.redacts(room, said)
    await alice.sees_redacted(room, said)
    last = (await ann.history(room))["items"][-1]
    assert last["recalled"] is True


async def test_what_is_read_is_a_receipt(ann: ImUser, sam: Person) -> None:
    room = await become_friends(ann, sam)
    said = await sam.says(room, "read this")
    await ann.stock.sees(room, "read this")
    await ann.reads(room)
    await sam.sees(room, read={ann.stock: said})


async def test_a_group_is_a_room(ann: ImUser, sam: Person) -> None:
    group = await ann.call(
        "POST", "/groups", {"name": "Cakes", "members": [sam.user_id], "join_mode": "invite"}
    )
    gid = group["gid"]
    await sam.sees(gid, membership="invite", state={"m.room.name": {"name": "Cakes"}})
    await sam.joins(gid)
    await ann.stock.sees(gid, member={sam: "join"})
    await sam.says(gid, "scones?")
    await ann.stock.sees(gid, "scones?")
    # Everybody is muted, and this one is an admin, by power levels that Synapse keeps to.
    await ann.call("PUT", f"/groups/{segment(gid)}/mute", {"enabled": True})
    await sam.waits_for(lambda: level(sam, gid, "events_default"), 50)
    with refused("M_FORBIDDEN", 403):
        await sam.says(gid, "but")
    await ann.call("PATCH", f"/groups/{segment(gid)}/members/{segment(sam.user_id)}", {"role": "admin"})
    await sam.waits_for(lambda: level(sam, gid, "users", sam.user_id), 50)
    await sam.says(gid, "thank you")
    await ann.stock.sees(gid, "thank you")
    await ann.call("PUT", f"/groups/{segment(gid)}/announcement", {"text": "Tea at five"})
    await sam.sees(gid, "Tea at five")
    pinned = await ann.stock.state(gid, "m.room.pinned_events")
    await sam.sees(gid, state={"m.room.pinned_events": pinned})
    await ann.call("DELETE", f"/groups/{segment(gid)}/members/{segment(sam.user_id)}")
    await sam.sees(gid, membership="leave")


async def test_a_knock_is_a_request_to_join(ann: ImUser, alice: Person, sam: Person) -> None:
    gid = (await ann.call("POST", "/groups", {"name": "Cakes", "members": [], "join_mode": "approval"}))[
        "gid"
    ]
    await sam.knocks(gid, via=[alice.place.name], reason="I bring scones")
    await ann.stock.sees(gid, member={sam: "knock"})
    (waiting,) = (await ann.call("GET", f"/groups/{segment(gid)}/requests"))["items"]
    assert (waiting["user_id"], waiting["message"]) == (sam.user_id, "I bring scones")
    await ann.call("PUT", f"/groups/{segment(gid)}/requests/{segment(sam.user_id)}", {"action": "accept"})
    await sam.sees(gid, membership="invite")
    await sam.joins(gid)
    await ann.stock.sees(gid, member={sam: "join"})


async def test_a_group_ends(ann: ImUser, sam: Person) -> None:
    gid = (await ann.call("POST", "/groups", {"name": "Cakes", "members": [sam.user_id]}))["gid"]
    await sam.sees(gid, membership="invite")
    await sam.joins(gid)
    await ann.stock.sees(gid, member={sam: "join"})
    await ann.call("DELETE", f"/groups/{segment(gid)}")
    await sam.sees(gid, membership="leave")


async def level(person: Person, room: str, *path: str) -> object:
    found: object = await person.state(room, "m.room.power_levels")
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


async def test_a_link_lets_a_stock_user_in(ann: ImUser, sam: Person) -> None:
    """The link carries a key; who has it signs for themselves, and Synapse has it exchanged for an invitation."""
    gid = (await ann.call("POST", "/groups", {"name": "Cakes", "members": []}))["gid"]
    link = await ann.call("POST", f"/groups/{segment(gid)}/invite-links", {"max_uses": 1})
    token = LinkToken.parse(link["token"])
    signed: dict[str, Any] = {"mxid": sam.user_id, "sender": token.inviter, "token": token.link_id}
    sign_json(signed, sam.place.name, SigningKey.of("0", base64.b64decode(token.seed)))
    await sam.joins(gid, via=[token.inviter.partition(":")[2]], third_party_signed=signed)
    await ann.stock.sees(gid, member={sam: "join"})
    await sam.says(gid, "so this is the place")
    await ann.stock.sees(gid, "so this is the place")
    # One use was all it had.
    assert await ann.stock.state(gid, "m.room.third_party_invite", token.link_id) == {}


async def test_moments_are_messages_in_a_room(ann: ImUser, sam: Person) -> None:
    """Likes are reactions, comments are in the post's thread."""
    await become_friends(ann, sam)
    moment = (await ann.call("POST", "/moments", {"text": "Fresh scones", "visibility": "friends"}))[
        "moment_id"
    ]

    def invitations() -> list[str]:
        return [room for room, known in sam.client.rooms.items() if known.membership == "invite"]

    await sam.waits_until(lambda _: len(invitations()) == 1, "an invitation to the moments")
    (room,) = invitations()
    await sam.joins(room)
    moment = (await ann.call("POST", "/moments", {"text": "Fresh scones", "visibility": "friends"}))[
        "moment_id"
    ]
    await sam.sees(room, "Fresh scones")
    post = sam.room(room).timeline[-1]["event_id"]
    await sam.sends(
        room, "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": post, "key": "❤️"}}
    )
    await sam.says(room, "yum", **{"m.relates_to": {"rel_type": "m.thread", "event_id": post}})

    async def seen() -> tuple[int, int]:
        found = await ann.call("GET", f"/moments/{segment(moment)}")
        return found["like_count"], found["comment_count"]

    await sam.waits_for(seen, (1, 1))
    await ann.call("DELETE", f"/moments/{segment(moment)}")
    await sam.sees_redacted(room, post)
