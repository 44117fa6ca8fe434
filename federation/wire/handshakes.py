"""What servers say to each other when somebody joins, knocks, leaves or is invited.

Spec: https://spec.matrix.org/v1.19/server-server-api/#joining-rooms
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.errors import InvalidParam, RemoteError
from homeserver.events.room_versions import RoomVersion, room_version
from homeserver.ids import RoomID, ServerName, UserID, domain_of


class Template(msgspec.Struct, omit_defaults=True):
    """The answer to make_join, make_knock and make_leave: an event to be completed and signed."""

    event: dict[str, Any]
    room_version: str = "1"


class SendJoinAnswer(msgspec.Struct, omit_defaults=True):
    """The answer to send_join. Events are kept as bytes: a large room's are parsed a few at a time."""

    state: list[msgspec.Raw]
    auth_chain: list[msgspec.Raw]
    event: dict[str, Any] | None = None
    origin: str | None = None
    members_omitted: bool = False
    servers_in_room: list[str] | None = None


class SendKnockAnswer(msgspec.Struct, omit_defaults=True):
    """The answer to send_knock: what the one who knocks may see of the room."""

    knock_room_state: list[dict[str, Any]] = []


class InviteRequest(msgspec.Struct, omit_defaults=True):
    """The body of `PUT /v2/invite`."""

    event: dict[str, Any]
    room_version: str
    invite_room_state: list[dict[str, Any]] = []


class InviteAnswer(msgspec.Struct):
    """The answer to an invite: the event with the invited server's signature."""

    event: dict[str, Any]


def check_template(template: Template, *, room_id: RoomID, user_id: UserID, membership: str) -> RoomVersion:
    """Whether a template is for the handshake that was asked for; gives the room's version.

    Raises:
        RemoteError: it is not, and must not be signed.
        UnsupportedRoomVersion: the room is of a version that we did not offer.
    """
    event = template.event
    content = event.get("content")
    wanted = {"type": "m.room.member", "room_id": room_id, "sender": user_id, "state_key": user_id}
    for field, value in wanted.items():
        if event.get(field) != value:
            raise RemoteError(f"the template's {field} is {event.get(field)!r}, not {value!r}")
    if not isinstance(content, dict) or content.get("membership") != membership:
        raise RemoteError(f"the template is not for a membership of {membership!r}")
    return room_version(template.room_version)


def check_handshake_event(
    pdu: dict[str, Any], *, origin: ServerName, room_id: RoomID, membership: str
) -> None:
    """Whether a signed event is one that its server may send by send_join, send_knock or send_leave.

    Raises:
        InvalidParam: naming what is wrong, before anything costly is checked.
    """
    content = pdu.get("content")
    sender = pdu.get("sender")
    if pdu.get("type") != "m.room.member":
        raise InvalidParam("the event is not of type m.room.member")
    if not isinstance(content, dict) or content.get("membership") != membership:
        raise InvalidParam(f"the event's membership is not {membership!r}")
    if not isinstance(sender, str) or domain_of(sender) != origin:
        raise InvalidParam(f"the event's sender is not a user of {origin}")
    if pdu.get("state_key") != sender:
        raise InvalidParam("the event's state_key is not its sender")
    if pdu.get("room_id") != room_id:
        raise InvalidParam("the event is of another room")


def check_invite(pdu: dict[str, Any], *, origin: ServerName, room_id: RoomID, us: ServerName) -> None:
    """Whether an event may invite one of our users by the invite handshake.

    Raises:
        InvalidParam: naming what is wrong.
    """
    content = pdu.get("content")
    sender, invited = pdu.get("sender"), pdu.get("state_key")
    if pdu.get("type") != "m.room.member":
        raise InvalidParam("the event is not of type m.room.member")
    if not isinstance(content, dict) or content.get("membership") != "invite":
        raise InvalidParam("the event's membership is not 'invite'")
    if not isinstance(sender, str) or domain_of(sender) != origin:
        raise InvalidParam(f"the event's sender is not a user of {origin}")
    if not isinstance(invited, str) or domain_of(invited) != us:
        raise InvalidParam(f"the invited user is not of {us}")
    if pdu.get("room_id") != room_id:
        raise InvalidParam("the event is of another room")
