"""Authorization rule 5, case by case, in every room version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.errors import AuthRejected
from homeserver.events.auth_rules import check_event_auth
from homeserver.events.event import Event
from homeserver.events.room_versions import ROOM_VERSIONS, V10, RoomVersion
from homeserver.events.signatures import SigningKey, encode_base64, sign_event, sign_json
from homeserver.ids import ServerName
from tests.harness.auth_cases import Case, in_every_version
from tests.harness.pure_room import ALICE, BOB, CAROL, KEY, PureRoom

Setup = Callable[[PureRoom], object]
Make = Callable[[PureRoom], Event]


def nothing(room: PureRoom) -> None:
    """The room as Alice created it."""


def member(sender: str, membership: Any, target: str | None = None, **content: Any) -> Make:
    return lambda room: room.makes_member(sender, membership, target=target, **content)


def steps(*setups: Setup) -> Setup:
    def run(room: PureRoom) -> None:
        for setup in setups:
            setup(room)

    return run


def rule(join_rule: str) -> Setup:
    return lambda room: room.has_join_rule(join_rule)


def having(user_id: str, membership: str) -> Setup:
    return lambda room: room.has_member(user_id, membership)


def levels(users: dict[str, int] | None = None, **others: Any) -> Setup:
    def setup(room: PureRoom) -> None:
        creator = {} if room.version.creators_are_almighty else {ALICE: 100}
        room.has_power_levels(users={**creator, **(users or {})}, **others)

    return setup


SHAPE = [
    Case("no state key", "5.1", lambda room: room.makes("m.room.member", ALICE, {"membership": "join"})),
    Case("no membership", "5.1", lambda room: room.makes("m.room.member", ALICE, {}, state_key=ALICE)),
    Case("unknown membership", "5.8", member(ALICE, "dance")),
    Case("a membership that is no string", "5.8", member(ALICE, ["join"])),
    Case("knocking before it was invented", "5.8", member(BOB, "knock"), rule("knock"), last=6),
    Case("knocking before it was invented, in public", "5.8", member(BOB, "knock"), rule("public"), last=6),
]


def vouched(by: Any, *, sign: bool = True, membership: str = "join") -> Make:
    def make(room: PureRoom) -> Event:
        event = room.makes_member(BOB, membership, join_authorised_via_users_server=by)
        if not sign:
            return event
        pdu = event.pdu
        sign_event(pdu, room.version, ServerName("one"), KEY)
        return event.with_pdu(pdu)

    return make


AUTHORISED = [
    Case("a join without the other signature", "5.2.1", vouched(ALICE, sign=False), rule("public"), first=8),
    Case("unread before restricted joins", None, vouched(ALICE, sign=False), rule("public"), last=7),
    Case("signed though public", None, vouched(ALICE), rule("public"), first=8),
    Case(
        "a leave too", "5.2.1", vouched(ALICE, sign=False, membership="leave"), having(BOB, "join"), first=8
    ),
    Case("an authoriser that is no user", "5.2.1", vouched("alice"), rule("public"), first=8),
    Case("an authoriser that is no string", "5.2.1", vouched(5), rule("public"), first=8),
]

PUBLIC, INVITE, KNOCK = rule("public"), rule("invite"), rule("knock")
RESTRICTED, KNOCK_RESTRICTED = rule("restricted"), rule("knock_restricted")

JOIN = [
    Case("the creator", None, member(ALICE, "join"), joined=False),
    Case("not the creator", "5.3.4", member(BOB, "join"), joined=False),
    Case("the creator, later", "5.3.4", member(ALICE, "join"), rule("invite"), joined=False),
    Case("by somebody else", "5.3.2", member(BOB, "join", CAROL), PUBLIC),
    Case("banned", "5.3.3", member(BOB, "join"), steps(PUBLIC, having(BOB, "ban"))),
    Case("public", None, member(BOB, "join"), PUBLIC),
    Case("public again", None, member(BOB, "join", displayname="B"), steps(PUBLIC, having(BOB, "join"))),
    Case("without a rule", "5.3.4", member(BOB, "join")),
    Case("invited without a rule", None, member(BOB, "join"), having(BOB, "invite")),
    Case("uninvited", "5.3.4", member(BOB, "join"), INVITE),
    Case("after leaving", "5.3.4", member(BOB, "join"), steps(INVITE, having(BOB, "leave"))),
    Case("invited", None, member(BOB, "join"), steps(INVITE, having(BOB, "invite"))),
    Case("joined already", None, member(BOB, "join"), steps(INVITE, having(BOB, "join"))),
    Case("knocked only", "5.3.4", member(BOB, "join"), steps(KNOCK, having(BOB, "knock")), first=7),
    Case("knock rule, invited", None, member(BOB, "join"), steps(KNOCK, having(BOB, "invite")), first=7),
    Case("knock rule unknown", "5.3.7", member(BOB, "join"), steps(KNOCK, having(BOB, "invite")), last=6),
    Case("private", "5.3.7", member(BOB, "join"), steps(rule("private"), having(BOB, "invite"))),
    Case("a rule that nobody knows", "5.3.7", member(BOB, "join"), rule("x")),
    Case("restricted unknown", "5.3.7", vouched(ALICE), steps(RESTRICTED, having(BOB, "invite")), last=7),
    Case("restricted, invited", None, member(BOB, "join"), steps(RESTRICTED, having(BOB, "invite")), first=8),
    Case("restricted, joined", None, member(BOB, "join"), steps(RESTRICTED, having(BOB, "join")), first=8),
    Case("restricted, nobody vouches", "5.3.5.2", member(BOB, "join"), RESTRICTED, first=8),
    Case("restricted, a stranger vouches", "5.3.5.2", vouched("@x:one"), RESTRICTED, first=8),
    Case("restricted, a member vouches", None, vouched(ALICE), RESTRICTED, first=8),
    Case(
        "restricted, a weak member vouches",
        "5.3.5.2",
        vouched("@weak:one"),
        steps(levels({"@weak:one": 1}, invite=2), having("@weak:one", "join"), RESTRICTED),
        first=8,
    ),
    Case("knock_restricted unknown", "5.3.7", vouched(ALICE), KNOCK_RESTRICTED, last=9),
    Case("knock_restricted, a member vouches", None, vouched(ALICE), KNOCK_RESTRICTED, first=10),
    Case("knock_restricted, nobody vouches", "5.3.5.2", member(BOB, "join"), KNOCK_RESTRICTED, first=10),
    Case(
        "knock_restricted, invited",
        None,
        member(BOB, "join"),
        steps(KNOCK_RESTRICTED, having(BOB, "invite")),
        first=10,
    ),
]

INVITES = [
    Case("from outside", "5.4.2", member(BOB, "invite", CAROL)),
    Case("from the invited", "5.4.2", member(BOB, "invite", CAROL), having(BOB, "invite")),
    Case("of a member", "5.4.3", member(ALICE, "invite", BOB), having(BOB, "join")),
    Case("of the banned", "5.4.3", member(ALICE, "invite", BOB), having(BOB, "ban")),
    Case("of the invited", None, member(ALICE, "invite", BOB), having(BOB, "invite")),
    Case(
        "of one who knocks", None, member(ALICE, "invite", BOB), steps(KNOCK, having(BOB, "knock")), first=7
    ),
    Case("of a stranger", None, member(BOB, "invite", CAROL), having(BOB, "join")),
    Case(
        "without power",
        "5.4.5",
        member(BOB, "invite", CAROL),
        steps(having(BOB, "join"), levels({BOB: 4}, invite=5)),
    ),
    Case(
        "with power",
        None,
        member(BOB, "invite", CAROL),
        steps(having(BOB, "join"), levels({BOB: 5}, invite=5)),
    ),
]

KICK = steps(having(BOB, "join"), having(CAROL, "join"))
LEAVES = [
    Case("one's own", None, member(BOB, "leave"), having(BOB, "join")),
    Case("of an invitation", None, member(BOB, "leave"), having(BOB, "invite")),
    Case("of a knock", None, member(BOB, "leave"), steps(KNOCK, having(BOB, "knock")), first=7),
    Case("of a knock before there were", "5.5.1", member(BOB, "leave"), having(BOB, "knock"), last=6),
    Case("from outside", "5.5.1", member(BOB, "leave")),
    Case("twice", "5.5.1", member(BOB, "leave"), having(BOB, "leave")),
    Case("of the banned", "5.5.1", member(BOB, "leave"), having(BOB, "ban")),
    Case("kick by an outsider", "5.5.2", member(CAROL, "leave", BOB), having(BOB, "join")),
    Case("kick", None, member(ALICE, "leave", BOB), having(BOB, "join")),
    Case("kick without power", "5.5.5", member(BOB, "leave", CAROL), steps(KICK, levels({BOB: 49}))),
    Case("kick at the level", None, member(BOB, "leave", CAROL), steps(KICK, levels({BOB: 50}))),
    Case("kick of a peer", "5.5.5", member(BOB, "leave", CAROL), steps(KICK, levels({BOB: 50, CAROL: 50}))),
    Case("unban", None, member(ALICE, "leave", BOB), having(BOB, "ban")),
    Case(
        "unban with the power to kick",
        "5.5.3",
        member(BOB, "leave", CAROL),
        steps(having(BOB, "join"), having(CAROL, "ban"), levels({BOB: 50}, ban=60)),
    ),
    Case(
        "unban with the power to ban",
        "5.5.5",
        member(BOB, "leave", CAROL),
        steps(having(BOB, "join"), having(CAROL, "ban"), levels({BOB: 50}, ban=50, kick=60)),
    ),
    Case("uninvite", None, member(ALICE, "leave", BOB), having(BOB, "invite")),
]

BANS = [
    Case("by an outsider", "5.6.1", member(BOB, "ban", CAROL)),
    Case("by the invited", "5.6.1", member(BOB, "ban", CAROL), having(BOB, "invite")),
    Case("of a stranger", None, member(ALICE, "ban", BOB)),
    Case("of a member", None, member(ALICE, "ban", BOB), having(BOB, "join")),
    Case("without power", "5.6.3", member(BOB, "ban", CAROL), steps(KICK, levels({BOB: 49}))),
    Case("at the level", None, member(BOB, "ban", CAROL), steps(KICK, levels({BOB: 50}))),
    Case("of a peer", "5.6.3", member(BOB, "ban", CAROL), steps(KICK, levels({BOB: 50, CAROL: 50}))),
    Case("of a superior", "5.6.3", member(BOB, "ban", ALICE), steps(KICK, levels({BOB: 50}))),
]

CREATORS = [
    Case(
        "kick of a creator",
        "5.5.5",
        member(BOB, "leave", ALICE),
        steps(KICK, levels({BOB: 2**53 - 1})),
        first=12,
    ),
    Case(
        "ban of a creator",
        "5.6.3",
        member(BOB, "ban", ALICE),
        steps(KICK, levels({BOB: 2**53 - 1})),
        first=12,
    ),
    Case(
        "creators among themselves",
        "5.6.3",
        member(ALICE, "ban", BOB),
        KICK,
        create={"additional_creators": [BOB]},
        first=12,
    ),
    Case(
        "creators are above all",
        None,
        member(BOB, "ban", CAROL),
        steps(KICK, levels({CAROL: 2**53 - 1})),
        create={"additional_creators": [BOB]},
        first=12,
    ),
    Case(
        "additional creators of old",
        "5.6.3",
        member(BOB, "ban", CAROL),
        KICK,
        create={"additional_creators": [BOB]},
        last=11,
    ),
    Case(
        "only the sender is first to join",
        "5.3.4",
        member(BOB, "join"),
        create={"additional_creators": [BOB]},
        joined=False,
        first=12,
    ),
]

KNOCKS = [
    Case("without a rule", "5.7.1", member(BOB, "knock"), first=7),
    Case("in public", "5.7.1", member(BOB, "knock"), PUBLIC, first=7),
    Case("at a knock rule", None, member(BOB, "knock"), KNOCK, first=7),
    Case("at knock_restricted, of old", "5.7.1", member(BOB, "knock"), KNOCK_RESTRICTED, first=7, last=9),
    Case("at knock_restricted", None, member(BOB, "knock"), KNOCK_RESTRICTED, first=10),
    Case("at restricted", "5.7.1", member(BOB, "knock"), RESTRICTED, first=7),
    Case("for somebody else", "5.7.2", member(BOB, "knock", CAROL), KNOCK, first=7),
    *(
        Case(f"as {held}", "5.7.4", member(BOB, "knock"), steps(KNOCK, having(BOB, held)), first=7)
        for held in ("ban", "invite", "join")
    ),
    Case("again", None, member(BOB, "knock"), steps(KNOCK, having(BOB, "knock")), first=7),
    Case("after leaving", None, member(BOB, "knock"), steps(KNOCK, having(BOB, "leave")), first=7),
]


@in_every_version(SHAPE + AUTHORISED + JOIN + INVITES + LEAVES + BANS + CREATORS + KNOCKS)
def test_memberships(case: Case, version: RoomVersion) -> None:
    case.run(version)


IDENTITY_SERVER = SigningKey.of("0", b"i" * 32)
OTHER_SERVER = SigningKey.of("0", b"o" * 32)


def invited_by_mail(*, by: str = ALICE, **content: Any) -> Setup:
    public = {"public_key": IDENTITY_SERVER.public_base64, **content}
    return lambda room: room.has("m.room.third_party_invite", by, public, state_key="token")


def redeems(*, key: SigningKey = IDENTITY_SERVER, **changes: Any) -> Make:
    """Alice's server turns the invitation by mail into one of Bob."""
    signed: dict[str, Any] = {"mxid": BOB, "token": "token"}
    signed.update(changes)
    signed = {name: value for name, value in signed.items() if value is not ...}
    sign_json(signed, "identity", key)
    return member(ALICE, "invite", BOB, third_party_invite={"display_name": "b...", "signed": signed})


def redeems_raw(invite: Any) -> Make:
    return member(ALICE, "invite", BOB, third_party_invite=invite)


WITH_KEYS = invited_by_mail(
    public_key=OTHER_SERVER.public_base64,
    public_keys=[5, {}, {"public_key": "?"}, {"public_key": encode_base64(b"short")},
                 {"public_key": IDENTITY_SERVER.public_base64}],
)  # fmt: skip
UNSIGNED = {"mxid": BOB, "token": "token"}

THIRD_PARTY = [
    Case("in order", None, redeems(), invited_by_mail()),
    Case("by one of several keys", None, redeems(), WITH_KEYS),
    Case("though joined already", None, redeems(), steps(invited_by_mail(), having(BOB, "join"))),
    Case("though the inviter left", None, redeems(), steps(invited_by_mail(), having(ALICE, "leave"))),
    Case("of the banned", "5.4.1.1", redeems(), steps(invited_by_mail(), having(BOB, "ban"))),
    Case("not an object", "5.4.1.2", redeems_raw(5), invited_by_mail()),
    Case("not signed", "5.4.1.2", redeems_raw({}), invited_by_mail()),
    Case("signed by no object", "5.4.1.2", redeems_raw({"signed": 5}), invited_by_mail()),
    Case("without user", "5.4.1.3", redeems(mxid=...), invited_by_mail()),
    Case("without token", "5.4.1.3", redeems(token=...), invited_by_mail()),
    Case("a token that is none", "5.4.1.3", redeems(token=5), invited_by_mail()),
    Case("for somebody else", "5.4.1.4", redeems(mxid=CAROL), invited_by_mail()),
    Case("never made", "5.4.1.5", redeems()),
    Case("another token", "5.4.1.5", redeems(token="other"), invited_by_mail()),
    Case("made by another", "5.4.1.6", redeems(), invited_by_mail(by=CAROL)),
    Case("another key", "5.4.1.8", redeems(key=OTHER_SERVER), invited_by_mail()),
    Case("no signature", "5.4.1.8", redeems_raw({"signed": UNSIGNED}), invited_by_mail()),
    Case("no key", "5.4.1.8", redeems(), invited_by_mail(public_key=5, public_keys=5)),
    *(
        Case(
            f"signatures {signatures}",
            "5.4.1.8",
            redeems_raw({"signed": {**UNSIGNED, "signatures": signatures}}),
            invited_by_mail(),
        )
        for signatures in (
            5,
            {"a": 5},
            {"a": {"ed25519:0": 5}},
            {"a": {"x:0": "y"}},
            {"a": {"ed25519:0": "y"}},
        )
    ),
]


@in_every_version(THIRD_PARTY)
def test_third_party_invites(case: Case, version: RoomVersion) -> None:
    case.run(version)


def test_third_party_invites_do_not_keep_a_server_busy() -> None:
    room = PureRoom(V10)
    keys = [{"public_key": IDENTITY_SERVER.public_base64}] * 200
    invited_by_mail(public_key=OTHER_SERVER.public_base64, public_keys=keys)(room)
    signatures = {"identity": {f"ed25519:{number}": "A" * 86 for number in range(200)}}
    with pytest.raises(AuthRejected):
        room.check(redeems_raw({"signed": {**UNSIGNED, "signatures": signatures}})(room))


@pytest.mark.parametrize("version", list(ROOM_VERSIONS.values())[7:], ids=repr)
def test_a_template_is_not_signed_yet(version: RoomVersion) -> None:
    room = PureRoom(version)
    RESTRICTED(room)
    template = room.makes_member(BOB, "join", join_authorised_via_users_server=ALICE)
    check_event_auth(template, room.state, is_signed=False)
    with pytest.raises(AuthRejected):
        check_event_auth(template, room.state)
