"""The frames of the realtime stream: one JSON object for each thing that happened, by its `type` (design, B.12). Pure.

Every numbered event has exactly one frame with its `seq`: a `message`, or one of `call.*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homeserver.events.event import Event
from homeserver.events.relations import REPLACE, parse_relation
from homeserver.ids import UserID
from homeserver.rooms.timeline import TimelineEvent
from storage.im_directs import Direct, FriendRequest

Frame = dict[str, Any]

CALLS = {
    "m.call.invite": "call.invite",
    "m.call.answer": "call.answer",
    "m.call.candidates": "call.candidates",
    "m.call.select_answer": "call.select",
    "m.call.negotiate": "call.negotiate",
    "m.call.reject": "call.reject",
    "m.call.hangup": "call.hangup",
}


def is_edit(event: Event) -> bool:
    relation = parse_relation(event.content)
    return relation is not None and relation.rel_type == REPLACE


def target_of(event: Event) -> str | None:
    """The event that a redaction takes back, or that an edit changes."""
    if event.type == "m.room.redaction":
        return event.redacts
    relation = parse_relation(event.content)
    return relation.event_id if relation is not None and relation.rel_type == REPLACE else None


def numbered(entry: TimelineEvent, item: Mapping[str, Any]) -> Frame:
    """A message or a call, or what stands in its place."""
    event = entry.event
    kind = CALLS.get(event.type)
    if kind is None or item.get("type") != "call":
        return _with_ids({"type": "message", "cid": event.room_id, "seq": entry.seq, "message": dict(item)})
    content = item.get("content", {})
    return {
        "type": kind,
        "cid": event.room_id,
        "seq": entry.seq,
        "event_id": event.event_id,
        "sender": event.sender,
        "ts": event.origin_server_ts,
        "call_id": content.get("call_id"),
        "content": content,
    }


def edit(entry: TimelineEvent, target: Mapping[str, Any]) -> Frame:
    """A message reads differently now."""
    frame = {"type": "edit", "cid": entry.event.room_id, "edit_id": entry.event.event_id}
    return _with_ids(frame | {"seq": target.get("seq"), "message": dict(target)})


def reaction(event: Event) -> Frame | None:
    """Somebody has put a key on an event."""
    relation = parse_relation(event.content)
    if relation is None or relation.event_id is None or relation.key is None:
        return None
    return {
        "type": "reaction",
        "cid": event.room_id,
        "event_id": relation.event_id,
        "key": relation.key,
        "user_id": event.sender,
        "reaction_id": event.event_id,
        "ts": event.origin_server_ts,
    }


def taken_back(redaction: Event, target: TimelineEvent, item: Mapping[str, Any]) -> Frame | None:
    """Something was redacted: a message, or a reaction, of which nothing but its ID is left."""
    gone = target.event
    if gone.type == "m.reaction":
        return {
            "type": "reaction",
            "cid": gone.room_id,
            "reaction_id": gone.event_id,
            "user_id": gone.sender,
            "removed": True,
        }
    if target.seq is None or gone.state_key is not None:
        return None
    return {
        "type": "recall",
        "cid": gone.room_id,
        "event_id": gone.event_id,
        "seq": target.seq,
        "by": redaction.sender,
        "ts": redaction.origin_server_ts,
        "message": dict(item),
    }


def friend(direct: Direct, request: FriendRequest | None) -> Frame:
    """How one stands to the other of a room of two, after a membership has changed (design, B.4)."""
    frame: Frame = {"type": friend_change(direct), "user_id": direct.peer, "cid": direct.room_id}
    if frame["type"] == "friend.request":
        frame["direction"] = "out" if direct.theirs == "invite" or direct.mine == "knock" else "in"
        if request is not None:
            frame |= {
                "request_id": request.request_id,
                "message": request.message,
                "ts": request.created_ms,
                "expires_ts": request.expires_ms,
            }
    return frame


def friend_change(direct: Direct) -> str:
    """The name of the frame, by the two memberships and what they were."""
    if direct.friends:
        return "friend.accepted"
    if {direct.mine, direct.theirs} & {"invite", "knock"}:
        return "friend.request"
    was_friend = (direct.mine != "join" and direct.mine_before == "join") or (
        direct.theirs != "join" and direct.theirs_before == "join"
    )
    return "friend.removed" if was_friend else "friend.rejected"


def invitation(room_id: str, state: list[dict[str, Any]], user_id: UserID) -> Frame:
    """The user is invited to a group, or another room."""
    contents = {(event.get("type"), event.get("state_key")): event.get("content", {}) for event in state}
    own = next((e for e in state if e.get("type") == "m.room.member" and e.get("state_key") == user_id), {})
    return {
        "type": "group.invitation",
        "gid": room_id,
        "room_type": contents.get(("m.room.create", ""), {}).get("type"),
        "name": contents.get(("m.room.name", ""), {}).get("name"),
        "avatar": contents.get(("m.room.avatar", ""), {}).get("url"),
        "by": own.get("sender"),
        "message": own.get("content", {}).get("reason"),
    }


def membership_change(entry: TimelineEvent) -> tuple[str, str]:
    """What somebody's membership was, and what it is by this event."""
    before = None if entry.replaced is None else entry.replaced.content.get("membership")
    after = entry.event.content.get("membership")
    return before if isinstance(before, str) else "leave", after if isinstance(after, str) else "leave"


def _with_ids(frame: Frame) -> Frame:
    event_id = frame["message"].get("event_id")
    return frame if event_id is None else {**frame, "event_id": event_id}
