"""Messages as one user sees them: after edits, with reactions, and tombstones where something was taken away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from homeserver.events.event import Event
from homeserver.events.relations import is_replacement
from homeserver.ids import NAMESPACE, DeviceID, EventID, RoomID, UserID
from homeserver.im import message_shapes
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.loading import timeline_events
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.visibility import Visibility
from storage import events as event_rows
from storage import im_messages, relations
from storage.database import Database
from storage.im_messages import Reactions
from storage.transaction import Transaction

RECALLED = f"{NAMESPACE}recalled"
"""The key in the content of a redaction that is a recall."""
LATE_MS = 5 * 60 * 1000


class Ignoring(Protocol):
    """Knows whom each user ignores, mostly from memory."""

    async def load_ignored(self, user_id: UserID) -> frozenset[UserID]: ...


class MessageViews:
    """Shows timeline events as messages."""

    def __init__(
        self, db: Database, visibility: Visibility, ignoring: Ignoring, *, recall_window_ms: int
    ) -> None:
        self._db = db
        self._visibility = visibility
        self._ignoring = ignoring
        self._recall_window_ms = recall_window_ms

    async def ignored(self, user_id: UserID) -> frozenset[UserID]:
        """Whom the user ignores."""
        return await self._ignoring.load_ignored(user_id)

    async def show(
        self,
        room: LiveRoom,
        user_id: UserID,
        device_id: DeviceID | None,
        events: Sequence[TimelineEvent],
        *,
        related: bool = True,
    ) -> list[dict[str, Any]]:
        """The events in the same order; those that the user may not or does not want to see are tombstones.

        `related` is False where it is known that nobody has changed them or reacted to them.
        """
        seen = await self._visibility.visible(room, user_id, events)
        ids = [event.event.event_id for event in seen]
        ignored = await self._ignoring.load_ignored(user_id)
        edits: Mapping[EventID, TimelineEvent] = {}
        reactions: Mapping[EventID, Sequence[Reactions]] = {}
        if related and ids:
            edits, reactions = await self._db.read(_extras, room, ids, user_id)
        visible = {
            event.event.event_id
            for event in seen
            if event.event.sender not in ignored or event.event.state_key is not None
        }
        items: list[dict[str, Any]] = []
        for event in events:
            event_id = event.event.event_id
            if event_id not in visible:
                items.append({"cid": room.room_id, "seq": event.seq, "hidden": True})
            elif event.redacted_because is not None:
                items.append(self._taken_away(room.room_id, event))
            else:
                shown = self._shown(event, edits.get(event_id), reactions.get(event_id, []))
                if (
                    event.event.sender == user_id
                    and event.txn_id is not None
                    and event.device_id == device_id
                ):
                    shown["client_msg_id"] = event.txn_id
                items.append(shown)
        return items

    def _taken_away(self, room_id: RoomID, event: TimelineEvent) -> dict[str, Any]:
        because = event.redacted_because
        assert because is not None
        taken = event.event
        if because.sender == taken.sender:
            # A stock client's redaction within the time for it is a recall as well.
            is_recall = because.origin_server_ts - taken.origin_server_ts <= self._recall_window_ms
        else:
            is_recall = because.content.get(RECALLED) is True
        reason = because.content.get("reason")
        return {
            "cid": room_id,
            "event_id": taken.event_id,
            "seq": event.seq,
            "sender": taken.sender,
            "recalled" if is_recall else "deleted": True,
            "by": because.sender,
            "ts": because.origin_server_ts,
            **({"reason": reason} if isinstance(reason, str) else {}),
        }

    @staticmethod
    def _shown(
        event: TimelineEvent, edit: TimelineEvent | None, reactions: Sequence[Reactions]
    ) -> dict[str, Any]:
        said = event.event
        content = content_now(said, edit)
        item = {
            "cid": said.room_id,
            "event_id": said.event_id,
            "seq": event.seq,
            "sender": said.sender,
            "ts": said.origin_server_ts,
            **message_shapes.shown(said, content),
        }
        if edit is not None:
            item["edited_ts"] = edit.event.origin_server_ts
        if reactions:
            item["reactions"] = [
                {"key": each.key, "count": each.total, "mine": each.mine is not None} for each in reactions
            ]
        return item


def mark_late(items: Sequence[dict[str, Any]], before: int = 0) -> None:
    """Note which messages, in order of arrival, are much older than what came before: a cut has healed.

    `before` is the time (ms) of the event before the first of them.
    """
    for item in items:
        ts = item.get("ts")
        if ts is not None:
            if before - ts > LATE_MS:
                item["late"] = True
            before = max(before, ts)


def content_now(said: Event, edit: TimelineEvent | None) -> Mapping[str, Any]:
    """What a message says after its latest edit, if there is one."""
    new = None if edit is None else edit.event.content.get("m.new_content")
    return new if isinstance(new, dict) else said.content


def _extras(
    txn: Transaction, room: LiveRoom, event_ids: Sequence[EventID], user_id: UserID
) -> tuple[dict[EventID, TimelineEvent], dict[EventID, list[Reactions]]]:
    """The latest edit of each event that has one, and the reactions to them."""
    return latest_edits(txn, room, event_ids), im_messages.reactions(txn, event_ids, user_id)


def latest_edits(
    txn: Transaction, room: LiveRoom, event_ids: Sequence[EventID]
) -> dict[EventID, TimelineEvent]:
    """The newest valid edit of each event that has one."""
    edits: dict[EventID, TimelineEvent] = {}
    for parent, children in relations.children_of_many(txn, event_ids).items():
        numbers = [child.number for child in children if child.rel_type == "m.replace"]
        original = event_rows.find(txn, parent) if numbers else None
        if original is None:
            continue
        rows = list(event_rows.by_number(txn, numbers).values())
        (target, *found) = timeline_events(txn, [original, *rows], room.version)
        valid = [each for each in found if is_replacement(each.event, target.event)]
        if valid:
            edits[EventID(parent)] = max(
                valid, key=lambda each: (each.event.origin_server_ts, each.event.event_id)
            )
    return edits
