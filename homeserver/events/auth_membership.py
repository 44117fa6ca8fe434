"""Authorization rule 5: who may join, invite, leave, kick, ban and knock.

Spec: https://spec.matrix.org/v1.19/rooms/v12/#authorisation-rules
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homeserver.errors import AuthRejected
from homeserver.events.auth_selection import JOIN_RULES
from homeserver.events.canonical_json import NotCanonicalJson, encode_canonical
from homeserver.events.event import Event
from homeserver.events.hashes import decode_base64
from homeserver.events.power_levels import PowerLevels, creators_of
from homeserver.events.signatures import ALGORITHM, verify_bytes
from homeserver.ids import StateKey, domain_of, is_user_id

_MAX_THIRD_PARTY_CHECKS = 100
"""How many pairs of key and signature are tried. The spec has no limit, an attacker would have thousands."""


def membership_of(state: Mapping[StateKey, Event], user_id: str) -> str | None:
    """The user's membership in this state; None if there is none."""
    event = state.get(("m.room.member", user_id))
    membership = None if event is None else event.content.get("membership")
    return membership if isinstance(membership, str) else None


def join_rule_of(state: Mapping[StateKey, Event]) -> str:
    """The join rule in this state."""
    event = state.get(JOIN_RULES)
    rule = "invite" if event is None else event.content.get("join_rule")
    return rule if isinstance(rule, str) else "invite"


def check_membership(
    event: Event, state: Mapping[StateKey, Event], create: Event, levels: PowerLevels, *, is_signed: bool
) -> None:
    """Rule 5: may the sender give the target this membership?

    Raises:
        AuthRejected: naming the first rule that does not hold.
    """
    target, membership = event.state_key, event.content.get("membership")
    # 5.1 Whose membership, and which.
    if target is None or membership is None:
        raise AuthRejected("5.1", "a membership has a state_key and names itself")
    # 5.2 Who joins in the name of another server's user shows its signature.
    if event.version.has_restricted_joins and "join_authorised_via_users_server" in event.content:
        _check_authorising_server(event, is_signed=is_signed)
    if membership == "join":
        check_join(event, target, state, create, levels)
    elif membership == "invite":
        if "third_party_invite" in event.content:
            check_third_party_invite(event, target, state)
        else:
            check_invite(event, target, state, levels)
    elif membership == "leave":
        check_leave(event, target, state, levels)
    elif membership == "ban":
        check_ban(event, target, state, levels)
    elif membership == "knock" and event.version.has_knocking:
        check_knock(event, target, state)
    else:
        # 5.8 Nothing else is a membership.
        raise AuthRejected("5.8", f"unknown membership {membership!r}")


def _check_authorising_server(event: Event, *, is_signed: bool) -> None:
    authoriser = event.content["join_authorised_via_users_server"]
    if not isinstance(authoriser, str) or not is_user_id(authoriser):
        raise AuthRejected("5.2.1", "join_authorised_via_users_server is not a user ID")
    # That the signature is valid was checked when the event came in: `required_signers` names that server.
    if is_signed and not event.signatures.get(domain_of(authoriser)):
        raise AuthRejected("5.2.1", f"the server of {authoriser} has not signed the join")


def check_join(
    event: Event, target: str, state: Mapping[StateKey, Event], create: Event, levels: PowerLevels
) -> None:
    """Rule 5.3: may the target join?

    Raises:
        AuthRejected: naming the first rule that does not hold.
    """
    # 5.3.1 The creator enters the new room.
    if event.prev_events == (create.event_id,) and _is_first_creator(target, create):
        return
    # 5.3.2 Nobody joins for somebody else.
    if event.sender != target:
        raise AuthRejected("5.3.2", "the sender is not the one who joins")
    membership = membership_of(state, target)
    # 5.3.3 The banned stay out.
    if membership == "ban":
        raise AuthRejected("5.3.3", f"{target} is banned")
    rule = join_rule_of(state)
    version = event.version
    # 5.3.4 By invitation.
    if rule == "invite" or (rule == "knock" and version.has_knocking):
        if membership in ("invite", "join"):
            return
        raise AuthRejected("5.3.4", f"{target} is not invited")
    # 5.3.5 By invitation, or vouched for by a member who could invite.
    if rule in version.restricted_join_rules:
        # 5.3.5.1
        if membership in ("invite", "join"):
            return
        # 5.3.5.2
        authoriser = event.content.get("join_authorised_via_users_server")
        if not isinstance(authoriser, str) or membership_of(state, authoriser) != "join":
            raise AuthRejected("5.3.5.2", "nobody in the room vouches for the join")
        if levels.user(authoriser) < levels.invite:
            raise AuthRejected("5.3.5.2", f"{authoriser} may not invite")
        # 5.3.5.3
        return
    # 5.3.6 Everybody.
    if rule == "public":
        return
    # 5.3.7
    raise AuthRejected("5.3.7", f"the join rule {rule!r} lets nobody in")


def _is_first_creator(target: str, create: Event) -> bool:
    if create.version.creator_in_content:
        return target in creators_of(create)
    return target == create.sender


def check_third_party_invite(event: Event, target: str, state: Mapping[StateKey, Event]) -> None:
    """Rule 5.4.1: does the invite redeem one that was made out to an e-mail address or telephone number?

    Raises:
        AuthRejected: naming the first rule that does not hold.
    """
    # 5.4.1.1
    if membership_of(state, target) == "ban":
        raise AuthRejected("5.4.1.1", f"{target} is banned")
    # 5.4.1.2
    invite = event.content["third_party_invite"]
    signed = invite.get("signed") if isinstance(invite, dict) else None
    if not isinstance(signed, dict):
        raise AuthRejected("5.4.1.2", "the third party invite is not signed")
    # 5.4.1.3
    token = signed.get("token")
    if "mxid" not in signed or not isinstance(token, str):
        raise AuthRejected("5.4.1.3", "the third party invite has no mxid or no token")
    # 5.4.1.4
    if signed["mxid"] != target:
        raise AuthRejected("5.4.1.4", "the third party invite is for somebody else")
    # 5.4.1.5
    original = state.get(("m.room.third_party_invite", token))
    if original is None:
        raise AuthRejected("5.4.1.5", "nobody has made this third party invite")
    # 5.4.1.6
    if original.sender != event.sender:
        raise AuthRejected("5.4.1.6", "somebody else made the third party invite")
    # 5.4.1.7
    if not _is_signed_by_any(signed, _public_keys(original.content)):
        raise AuthRejected("5.4.1.8", "no signature is by a key of the third party invite")


def _public_keys(content: dict[str, Any]) -> list[bytes]:
    candidates = [content.get("public_key")]
    listed = content.get("public_keys")
    if isinstance(listed, list):
        candidates.extend(entry.get("public_key") for entry in listed if isinstance(entry, dict))
    keys = []
    for candidate in candidates:
        try:
            key = decode_base64(candidate) if isinstance(candidate, str) else b""
        except ValueError:
            continue
        if len(key) == 32:
            keys.append(key)
    return keys


def _is_signed_by_any(signed: dict[str, Any], keys: list[bytes]) -> bool:
    covered = {name: value for name, value in signed.items() if name not in ("signatures", "unsigned")}
    try:
        message = encode_canonical(covered, strict=False)
    except NotCanonicalJson:
        return False
    signatures = signed.get("signatures")
    checks = 0
    for by_server in signatures.values() if isinstance(signatures, dict) else ():
        for key_id, signature in by_server.items() if isinstance(by_server, dict) else ():
            if not key_id.startswith(ALGORITHM + ":") or not isinstance(signature, str):
                continue
            for key in keys:
                checks += 1
                if checks > _MAX_THIRD_PARTY_CHECKS:
                    return False
                if verify_bytes(message, signature, key):
                    return True
    return False


def check_invite(event: Event, target: str, state: Mapping[StateKey, Event], levels: PowerLevels) -> None:
    """Rules 5.4.2 to 5.4.5: may the sender invite the target?

    Raises:
        AuthRejected: naming the first rule that does not hold.
    """
    # 5.4.2
    if membership_of(state, event.sender) != "join":
        raise AuthRejected("5.4.2", f"{event.sender} is not in the room")
    # 5.4.3
    if (membership := membership_of(state, target)) in ("join", "ban"):
        reason = "is banned" if membership == "ban" else "is in the room already"
        raise AuthRejected("5.4.3", f"{target} {reason}")
    # 5.4.4
    if levels.user(event.sender) < levels.invite:
        raise AuthRejected("5.4.5", f"inviting takes power level {levels.invite}")


def check_leave(event: Event, target: str, state: Mapping[StateKey, Event], levels: PowerLevels) -> None:
    """Rule 5.5: may the sender leave, or send the target away, or lift their ban?

    Raises:
        AuthRejected: naming the first rule that does not hold.
    """
    membership = membership_of(state, target)
    # 5.5.1 One's own leave: from the room, from an invitation, from a knock.
    if event.sender == target:
        if membership in ("invite", "join") or (membership == "knock" and event.version.has_knocking):
            return
        raise AuthRejected("5.5.1", f"{target} has nothing to leave")
    # 5.5.2
    if membership_of(state, event.sender) != "join":
        raise AuthRejected("5.5.2", f"{event.sender} is not in the room")
    power = levels.user(event.sender)
    # 5.5.3
    if membership == "ban" and power < levels.ban:
        raise AuthRejected("5.5.3", f"lifting a ban takes power level {levels.ban}")
    # 5.5.4
    if power < levels.kick:
        raise AuthRejected("5.5.5", f"kicking takes power level {levels.kick}")
    if levels.user(target) >= power:
        raise AuthRejected("5.5.5", f"{target} is as powerful as the sender")


def check_ban(event: Event, target: str, state: Mapping[StateKey, Event], levels: PowerLevels) -> None:
    """Rule 5.6: may the sender ban the target?

    Raises:
        AuthRejected: naming the first rule that does not hold.
    """
    # 5.6.1
    if membership_of(state, event.sender) != "join":
        raise AuthRejected("5.6.1", f"{event.sender} is not in the room")
    power = levels.user(event.sender)
    # 5.6.2
    if power < levels.ban:
        raise AuthRejected("5.6.3", f"banning takes power level {levels.ban}")
    if levels.user(target) >= power:
        raise AuthRejected("5.6.3", f"{target} is as powerful as the sender")


def check_knock(event: Event, target: str, state: Mapping[StateKey, Event]) -> None:
    """Rule 5.7: may the sender knock?

    Raises:
        AuthRejected: naming the first rule that does not hold.
    """
    # 5.7.1 Only rooms whose join rule allows knocking.
    if join_rule_of(state) not in event.version.knock_join_rules:
        raise AuthRejected("5.7.1", "the join rule does not allow knocking")
    # 5.7.2 Nobody knocks for somebody else.
    if event.sender != target:
        raise AuthRejected("5.7.2", "the sender is not the one who knocks")
    # 5.7.3 Nobody knocks who is in, invited or banned.
    if (membership := membership_of(state, target)) in ("ban", "invite", "join"):
        raise AuthRejected("5.7.4", f"the membership of {target} is {membership}")
