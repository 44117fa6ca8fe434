"""What the events of a moments room are in the realtime stream. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from homeserver.events.relations import ANNOTATION, THREAD, parse_relation
from homeserver.im.moment_shapes import is_post
from homeserver.im.update_frames import Frame
from homeserver.rooms.timeline import TimelineEvent


def of_event(entry: TimelineEvent, author: str, targets: Mapping[str, TimelineEvent]) -> Frame | None:
    """The frame of one event: a post, a like, a comment, or the end of one."""
    event = entry.event
    common = {
        "cid": event.room_id,
        "event_id": event.event_id,
        "user_id": event.sender,
        "ts": event.origin_server_ts,
    }
    if event.type == "m.room.redaction":
        target = targets.get(event.redacts or "")
        if target is None or target.event.state_key is not None:
            return None
        gone = {"event_id": target.event.event_id, "user_id": target.event.sender}
        if target.event.type == "m.reaction":
            return {"type": "moment.like", "removed": True} | common | gone
        return {"type": "moment.deleted"} | common | gone
    if entry.redacted_because is not None:
        return None
    if is_post(event, author):
        return {"type": "moment.new", "moment_id": event.event_id} | common
    relation = parse_relation(event.content)
    if relation is None or relation.event_id is None:
        return None
    if event.type == "m.reaction" and relation.rel_type == ANNOTATION:
        return {"type": "moment.like", "moment_id": relation.event_id, "key": relation.key} | common
    if event.type == "m.room.message" and relation.rel_type == THREAD:
        return {"type": "moment.comment", "moment_id": relation.event_id} | common
    return None
