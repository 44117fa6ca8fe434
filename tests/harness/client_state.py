"""What a client knows from `/sync`: the model that every client builds, kept as plainly as the specification says it.

Spec: https://spec.matrix.org/v1.19/client-server-api/#syncing
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
"""An event in the format that clients get."""


@dataclass(slots=True)
class KnownRoom:
    """One room as a client sees it. `timeline` is what arrived without a gap; a limited timeline begins it anew."""

    membership: str = "join"
    timeline: list[Event] = field(default_factory=list)
    state: dict[tuple[str, str], Event] = field(default_factory=dict)
    stripped_state: dict[tuple[str, str], Event] = field(default_factory=dict)
    account_data: dict[str, Any] = field(default_factory=dict)
    typing: list[str] = field(default_factory=list)
    receipts: dict[tuple[str, str, str | None], str] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    notification_count: int = 0
    highlight_count: int = 0
    thread_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    prev_batch: str | None = None

    def apply(self, section: Mapping[str, Any]) -> None:
        """Take in what one `/sync` says of a joined or left room."""
        for event in section.get("state", {}).get("events", ()):
            self._put_state(event)
        timeline = section.get("timeline", {})
        if timeline.get("limited") or self.prev_batch is None:
            self.timeline = []
            self.prev_batch = timeline.get("prev_batch", self.prev_batch)
        for event in timeline.get("events", ()):
            self.timeline.append(event)
            if "state_after" not in section:
                self._put_state(event)
        for event in section.get("state_after", {}).get("events", ()):
            self._put_state(event)
        for event in section.get("account_data", {}).get("events", ()):
            self.account_data[event["type"]] = event["content"]
        for event in section.get("ephemeral", {}).get("events", ()):
            self._apply_ephemeral(event)
        self.summary.update(section.get("summary", {}))
        counts = section.get("unread_notifications", {})
        self.notification_count = counts.get("notification_count", self.notification_count)
        self.highlight_count = counts.get("highlight_count", self.highlight_count)
        if "unread_thread_notifications" in section:
            self.thread_counts = section["unread_thread_notifications"]

    def _put_state(self, event: Event) -> None:
        if "state_key" in event:
            self.state[event["type"], event["state_key"]] = event

    def _apply_ephemeral(self, event: Event) -> None:
        if event["type"] == "m.typing":
            self.typing = event["content"]["user_ids"]
        elif event["type"] == "m.receipt":
            for event_id, by_type in event["content"].items():
                for receipt_type, by_user in by_type.items():
                    for user_id, receipt in by_user.items():
                        self.receipts[receipt_type, user_id, receipt.get("thread_id")] = event_id

    def content(self, event_type: str, state_key: str = "") -> dict[str, Any] | None:
        """The content of a state event, None if the room has none."""
        event = self.state.get((event_type, state_key)) or self.stripped_state.get((event_type, state_key))
        return None if event is None else event["content"]

    def bodies(self) -> list[str]:
        """What was said, in order."""
        return [event["content"]["body"] for event in self.timeline if "body" in event["content"]]

    def members(self) -> dict[str, str]:
        """The memberships that the client has been told of."""
        return {
            key: event["content"].get("membership", "leave")
            for (kind, key), event in self.state.items()
            if kind == "m.room.member"
        }


@dataclass(slots=True)
class ClientState:
    """Everything that one device has learnt; `since` is where it goes on."""

    since: str | None = None
    rooms: dict[str, KnownRoom] = field(default_factory=dict)
    account_data: dict[str, Any] = field(default_factory=dict)
    presence: dict[str, dict[str, Any]] = field(default_factory=dict)
    to_device: list[Event] = field(default_factory=list)
    changed_devices: set[str] = field(default_factory=set)
    left_devices: set[str] = field(default_factory=set)
    one_time_key_counts: dict[str, int] = field(default_factory=dict)

    def apply(self, answer: Mapping[str, Any]) -> None:
        """Take in a whole answer of `/sync`."""
        rooms = answer.get("rooms", {})
        for membership in ("join", "leave"):
            for room_id, section in rooms.get(membership, {}).items():
                room = self.rooms.setdefault(room_id, KnownRoom())
                room.membership = membership
                room.stripped_state = {}
                room.apply(section)
        for membership in ("invite", "knock"):
            for room_id, section in rooms.get(membership, {}).items():
                events = section[f"{membership}_state"]["events"]
                self.rooms[room_id] = KnownRoom(
                    membership=membership,
                    stripped_state={(event["type"], event["state_key"]): event for event in events},
                )
        for event in answer.get("account_data", {}).get("events", ()):
            self.account_data[event["type"]] = event["content"]
        for event in answer.get("presence", {}).get("events", ()):
            self.presence[event["sender"]] = event["content"]
        self.to_device += answer.get("to_device", {}).get("events", ())
        lists = answer.get("device_lists", {})
        self.changed_devices |= set(lists.get("changed", ()))
        self.left_devices |= set(lists.get("left", ()))
        self.one_time_key_counts = answer.get("device_one_time_keys_count", self.one_time_key_counts)
        self.since = answer["next_batch"]
