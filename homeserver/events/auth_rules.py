"""The authorization rules: may this event be, given that state?

Rules stand in the order of room version 12 and bear its numbers, which a refusal names; a rule that version
12 no longer has is named after the version that introduced it (`v1:11.3`). Rules 5 and 10 have files of their
own.
Spec: https://spec.matrix.org/v1.19/rooms/v12/#authorisation-rules
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from homeserver.errors import AuthRejected
from homeserver.events.auth_membership import check_membership, membership_of
from homeserver.events.auth_power_levels import check_power_levels
from homeserver.events.auth_selection import auth_keys
from homeserver.events.event import Event, create_id_of_room
from homeserver.events.power_levels import CREATE, PowerLevels
from homeserver.events.room_versions import ROOM_VERSIONS
from homeserver.ids import EventID, StateKey, domain_of, is_user_id

StateMap = Mapping[StateKey, Event]


def check_auth_events(event: Event, auth_events: Iterable[Event], rejected: Container[EventID] = ()) -> None:
    """Rules 2 and 3: are the event's `auth_events` those that it needs, and all of them sound?

    `auth_events` are the events that the event names, every one of them; `rejected` holds the IDs of rejected
    events.

    Raises:
        AuthRejected: naming the first rule that does not hold.
    """
    version = event.version
    if event.type == "m.room.create":
        return
    # 2. The room ID names a create event that was accepted.
    if version.room_id_is_create_event_id and create_id_of_room(event.room_id) in rejected:
        raise AuthRejected("2", "the room's create event was rejected")
    expected = frozenset(auth_keys(event.type, event.sender, event.state_key, event.content, version))
    seen: set[StateKey] = set()
    for auth_event in auth_events:
        key = auth_event.key
        # 3.1 No two entries for one key.
        if key in seen:
            raise AuthRejected("3.1", f"two auth events are for {key}")
        # 3.2 Only entries that auth events selection asks for.
        if key is None or key not in expected:
            raise AuthRejected("3.2", f"{auth_event.event_id} has no place among the auth events")
        seen.add(key)
        # 3.3 Nothing follows from a rejected event.
        if auth_event.event_id in rejected:
            raise AuthRejected("3.3", f"the auth event {auth_event.event_id} was rejected")
        # 3.5 Nothing follows from another room.
        if auth_event.room_id != event.room_id:
            raise AuthRejected("3.5", f"the auth event {auth_event.event_id} is of another room")
    # v1:2.4 The create event must be among them, where the room ID does not imply it.
    if not version.room_id_is_create_event_id and CREATE not in seen:
        raise AuthRejected("v1:2.4", "the create event is not among the auth events")


def check_event_auth(
    event: Event, state: StateMap, *, is_signed: bool = True, power_levels: PowerLevels | None = None
) -> None:
    """Every rule but 3: may the event be in a room of this state?

    `state` holds the create event in every room version, and no rejected events; the create event itself is
    judged alone. An event that nobody has signed yet, such as a template for another server, is checked with
    `is_signed=False`. `power_levels` are those of `state`, for callers who have them at hand.

    Raises:
        AuthRejected: naming the first rule that does not hold.
    """
    version = event.version
    # 1. The create event.
    if event.type == "m.room.create":
        check_create(event)
        return
    create = state.get(CREATE)
    # 2. The room has a create event, which the room ID names.
    if create is None:
        raise AuthRejected("2", "the room has no create event")
    if version.room_id_is_create_event_id and create_id_of_room(event.room_id) != create.event_id:
        raise AuthRejected("2", "the room ID is not that of the room's create event")
    # 4. Some rooms stay within the server that created them.
    if create.content.get("m.federate") is False and event.domain != create.domain:
        raise AuthRejected("4", "this room does not federate")
    # v1:4 Aliases, of old, were the business of each server.
    if version.aliases_auth_rule and event.type == "m.room.aliases":
        check_aliases(event)
        return
    levels = PowerLevels.of_state(state, create) if power_levels is None else power_levels
    # 5. Memberships.
    if event.type == "m.room.member":
        check_membership(event, state, create, levels, is_signed=is_signed)
        return
    # 6. Everything else is for members.
    if membership_of(state, event.sender) != "join":
        raise AuthRejected("6", f"{event.sender} is not in the room")
    power = levels.user(event.sender)
    # 7. Third party invites take the power to invite, and no more.
    if event.type == "m.room.third_party_invite":
        if power < levels.invite:
            raise AuthRejected("7.1", f"inviting takes power level {levels.invite}, the sender has {power}")
        return
    # 8. The power that the type takes.
    required = levels.event(event.type, is_state=event.is_state)
    if required > power:
        raise AuthRejected("8", f"sending {event.type} takes power level {required}, the sender has {power}")
    # 9. State under a user's name is that user's own.
    if event.state_key is not None and event.state_key.startswith("@") and event.state_key != event.sender:
        raise AuthRejected("9", "the state key is the user ID of somebody else")
    # 10. Power levels.
    if event.type == "m.room.power_levels":
        check_power_levels(event, state, create, levels)
    # v1:11 Redactions, until room version 3 left them to whoever applies them.
    if version.redaction_auth_rule and event.type == "m.room.redaction":
        check_redaction(event, levels)
    # 11. Otherwise, allow.


def check_create(event: Event) -> None:
    """Rule 1: may the event begin a room?

    Raises:
        AuthRejected: naming the first rule that does not hold.
    """
    version, content = event.version, event.content
    # 1.1 Nothing comes before it.
    if event.prev_events:
        raise AuthRejected("1.1", "a create event has no prev_events")
    # 1.2 The room's name is the event's own, or, until room version 11, one of the sender's server.
    if version.room_id_is_create_event_id:
        if "room_id" in event.pdu:
            raise AuthRejected("1.2", "a create event has no room_id")
    elif domain_of(event.room_id) != event.domain:
        raise AuthRejected("1.2", "the room ID is of another server than the sender")
    # 1.3 A version that we know.
    claimed = content.get("room_version", version.id)
    if not isinstance(claimed, str) or claimed not in ROOM_VERSIONS:
        raise AuthRejected("1.3", f"unknown room version {claimed!r}")
    # 1.4 Further creators are users.
    if version.creators_are_almighty and "additional_creators" in content:
        additional = content["additional_creators"]
        if not isinstance(additional, list) or not all(is_user_id(user_id) for user_id in additional):
            raise AuthRejected("1.4", "additional_creators is not a list of user IDs")
    # v1:1.4 The creator is named.
    if version.creator_in_content and "creator" not in content:
        raise AuthRejected("v1:1.4", "the create event does not name the creator")


def check_aliases(event: Event) -> None:
    """Rule 4 of room versions 1 to 5: does the event list the aliases of the sender's own server?

    Raises:
        AuthRejected: naming the first rule that does not hold.
    """
    if event.state_key is None:
        raise AuthRejected("v1:4.1", "m.room.aliases is a state event")
    if event.state_key != event.domain:
        raise AuthRejected("v1:4.2", "the aliases are those of another server than the sender's")


def check_redaction(event: Event, levels: PowerLevels) -> None:
    """Rule 11 of room versions 1 and 2: may the sender redact, or is the event one of their own server?

    Raises:
        AuthRejected: neither.
    """
    # v1:11.1 With enough power, anything.
    if levels.user(event.sender) >= levels.redact:
        return
    # v1:11.2 Otherwise what the same server made.
    if event.redacts is not None and domain_of(event.redacts) == domain_of(event.event_id):
        return
    raise AuthRejected("v1:11.3", f"redacting takes power level {levels.redact}")
