"""Whom an event notifies: push rules evaluated once for each distinct rule set, not once for each member.

The outcome is kept with the event: what holds for most users, and the users for whom something else does.
"""

from __future__ import annotations

from collections import Counter

from homeserver.events.event import Event
from homeserver.events.push_rules import DEFAULTS, Actions, CompiledRules, EventView
from homeserver.events.relations import parse_relation
from homeserver.ids import UserID
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.timeline import Notified
from homeserver.rooms.unread import HIGHLIGHT, NOTIFY, SOUND


def notified_by(room: LiveRoom, event: Event) -> Notified | None:
    """The outcome for the room's local users; None if nobody is notified."""
    relation = parse_relation(event.content)
    thread = None if relation is None else relation.thread_root
    view = EventView(event, member_count=len(room.joined), power_levels=room.power_levels, thread_root=thread)
    outcomes: list[tuple[CompiledRules, int]] = []
    common: Counter[int] = Counter()
    exceptions: dict[UserID, int] = {}
    for rules, users in room.rule_groups.items():
        outcome = rules.outcome(view)
        bits = _bits(outcome.actions)
        outcomes.append((rules, bits))
        common[bits] += len(users)
        for user in users if outcome.concerned is None else outcome.concerned & users:
            own = _bits(rules.evaluate(view, user_id=user, display_name=room.display_name(UserID(user))))
            if own != bits and user != event.sender:
                exceptions[UserID(user)] = own
    default = max(common, key=lambda bits: common[bits]) if common else 0
    for rules, bits in outcomes:
        if bits != default:
            for user in room.rule_groups[rules]:
                exceptions.setdefault(user, bits)
    # Whoever is invited is told, though they are no member yet.
    if event.type == "m.room.member" and event.content.get("membership") == "invite":
        invited = UserID(event.state_key or "")
        rules = room.rules.get(invited, DEFAULTS)
        exceptions[invited] = _bits(rules.evaluate(view, user_id=invited))
    exceptions = {user: bits for user, bits in exceptions.items() if bits != default}
    if not default and not exceptions:
        return None
    return Notified(default, exceptions, thread)


def _bits(actions: Actions) -> int:
    if not actions.notify:
        return 0
    return NOTIFY | (HIGHLIGHT if actions.highlight else 0) | (SOUND if actions.sound is not None else 0)
