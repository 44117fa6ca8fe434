"""Leaves that the server through which somebody comes back has not heard of.

A leave may still be on its way when its user joins again. The server that is asked to let them in then makes the join
follow from the join before it: of the two branches, one ends with the user inside and the other outside, and servers
that resolve them may well find the user outside, while ours, whose history begins with the join, has them inside.
So the leave is handed over first, and the join follows it.
"""

from __future__ import annotations

from federation.wire.handshakes import Template
from homeserver.events.event import Event
from homeserver.events.room_versions import RoomVersion
from homeserver.ids import RoomID, UserID
from homeserver.rooms.loading import event_of
from storage import events as event_rows
from storage import membership
from storage.events import EventFlag
from storage.transaction import Transaction


def find_unheard_leave(
    txn: Transaction, room_id: RoomID, user_id: UserID, version: RoomVersion, template: Template
) -> Event | None:
    """The user's leave, if the template for their join follows from what they were before it."""
    current = membership.find(txn, room_id, user_id)
    if current is None or current.membership != "leave" or current.sender != user_id:
        return None
    row = event_rows.by_number(txn, [current.event])[current.event]
    if row.flags & EventFlag.OUTLIER:
        # It has no place in a history of ours: whoever made its template has it.
        return None
    leave = event_of(row, version)
    cited = _cited(template)
    if leave.event_id in cited:
        return None
    rows = event_rows.by_id(txn, cited.intersection(leave.auth_events)).values()
    return leave if any(event_of(each, version).key == leave.key for each in rows) else None


def _cited(template: Template) -> set[str]:
    """The auth events of a template; in the first room versions each comes with its hashes."""
    cited = template.event.get("auth_events")
    each = cited if isinstance(cited, list) else []
    ids = (one[0] if isinstance(one, list) and one else one for one in each)
    return {one for one in ids if isinstance(one, str)}
