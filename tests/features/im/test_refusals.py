"""What friends, groups, links and moments refuse: the table's code each time (design, B.2), and nothing has changed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.client import segment
from tests.harness.im_user import ImUser, im_call
from tests.harness.refusals import Refused, refused
from tests.harness.server import Server

Call = tuple[str, str, dict[str, Any] | None]

# Every call about a group, with a body that is right; {member} is a member of it.
OF_GROUPS: list[Call] = [
    ("PATCH", "/groups/{gid}", {"name": "Pies"}),
    ("PUT", "/groups/{gid}/settings", {"join_mode": "open"}),
    ("PUT", "/groups/{gid}/settings", {"searchable": True}),
    ("DELETE", "/groups/{gid}", None),
    ("PUT", "/groups/{gid}/mute", {"enabled": True}),
    ("GET", "/groups/{gid}/announcement", None),
    ("PUT", "/groups/{gid}/announcement", {"text": "hear, hear"}),
    ("DELETE", "/groups/{gid}/announcement", None),
    ("GET", "/groups/{gid}/members", None),
    ("POST", "/groups/{gid}/members", {"user_ids": ["@zoe:one.test"]}),
    ("PATCH", "/groups/{gid}/members/{member}", {"role": "admin"}),
    ("PATCH", "/groups/{gid}/members/{member}", {"muted": True}),
    ("DELETE", "/groups/{gid}/members/{member}", None),
    ("POST", "/groups/{gid}/leave", None),
    ("POST", "/groups/{gid}/transfer", {"new_owner": "{member}"}),
    ("GET", "/groups/{gid}/invitations", None),
    ("POST", "/groups/{gid}/invitations/@zoe:one.test", {}),
    ("PUT", "/groups/{gid}/invitations/{member}", {"action": "accept"}),
    ("DELETE", "/groups/{gid}/invitations/{member}", None),
    ("GET", "/groups/{gid}/requests", None),
    ("POST", "/groups/{gid}/requests", {"message": "may I?"}),
    ("PUT", "/groups/{gid}/requests/{member}", {"action": "accept"}),
    ("DELETE", "/groups/{gid}/requests/{member}", None),
    ("POST", "/groups/{gid}/invite-links", {}),
    ("GET", "/groups/{gid}/invite-links", None),
    ("DELETE", "/groups/{gid}/invite-links/l1", None),
    ("GET", "/groups/{gid}/invite-links/l1/qr.svg", None),
]
# Every call about a moment or a comment on it.
OF_MOMENTS: list[Call] = [
    ("GET", "/moments/{moment}", None),
    ("DELETE", "/moments/{moment}", None),
    ("PUT", "/moments/{moment}/like", None),
    ("DELETE", "/moments/{moment}/like", None),
    ("GET", "/moments/{moment}/likes", None),
    ("GET", "/moments/{moment}/comments", None),
    ("POST", "/moments/{moment}/comments", {"body": "yum"}),
    ("DELETE", "/moments/{moment}/comments/$nothing", None),
]
# Every other call, which only needs somebody who is logged in.
EVERYWHERE: list[tuple[str, str]] = [
    ("POST", "/friends/requests"),
    ("GET", "/friends/requests"),
    ("PUT", "/friends/requests/fr_1"),
    ("GET", "/friends"),
    ("GET", "/friends/presence"),
    ("GET", "/friends/@ben:one.test"),
    ("PATCH", "/friends/@ben:one.test"),
    ("DELETE", "/friends/@ben:one.test"),
    ("GET", "/friends/@ben:one.test/mutual"),
    ("GET", "/friends/categories"),
    ("POST", "/friends/categories"),
    ("PATCH", "/friends/categories/c1"),
    ("DELETE", "/friends/categories/c1"),
    ("GET", "/blocks"),
    ("PUT", "/blocks/@ben:one.test"),
    ("DELETE", "/blocks/@ben:one.test"),
    ("POST", "/groups"),
    ("GET", "/groups"),
    ("GET", "/groups/search?q=x"),
    ("POST", "/invite-links/x/join"),
    ("GET", "/users/me/group-invitations"),
    ("GET", "/users/me/group-requests"),
    ("POST", "/moments"),
    ("GET", "/moments/timeline"),
    ("PUT", "/follows/@ben:one.test"),
    ("DELETE", "/follows/@ben:one.test"),
    ("POST", "/admin/projections/rebuild"),
]


def filled(call: Call, **names: str) -> Call:
    method, path, body = call
    wanted = {
        key: value.format(**names) if isinstance(value, str) else value for key, value in (body or {}).items()
    }
    return (
        method,
        path.format(**{key: segment(value) for key, value in names.items()}),
        wanted if body is not None else None,
    )


async def make_group(owner: ImUser, *members: ImUser, **options: Any) -> str:
    ids = [member.user_id for member in members]
    gid: str = (await owner.call("POST", "/groups", {"name": "Cakes", "members": ids, **options}))["gid"]
    for member in members:
        await member.call("PUT", f"/groups/{gid}/invitations/{member.user_id}", {"action": "accept"})
    return gid


async def everything(owner: ImUser, gid: str) -> Any:
    """All that could have changed of a group."""
    events = await owner.stock.whole_state(gid)
    return sorted((event["type"], event["state_key"], event["event_id"]) for event in events)


async def test_nobody_in_particular_is_told_nothing(server: Server, ann: ImUser, ben: ImUser) -> None:
    gid = await make_group(ann, ben)
    moment = (await ann.call("POST", "/moments", {"text": "a cake"}))["moment_id"]
    names = {"gid": gid, "member": ben.user_id, "moment": moment}
    before = await everything(ann, gid)
    calls = [
        *(filled(call, **names) for call in OF_GROUPS + OF_MOMENTS),
        *((m, p, {}) for m, p in EVERYWHERE),
    ]
    for method, path, body in calls:
        with refused("M_MISSING_TOKEN", 401):
            await im_call(server.client(), method, path, body)
    with refused("M_UNKNOWN_TOKEN", 401):
        await im_call(server.client("nonsense"), "GET", "/friends")
    assert await everything(ann, gid) == before


@pytest.mark.parametrize("join_mode", ["invite", "approval"])
async def test_a_group_is_its_members(ann: ImUser, ben: ImUser, cat: ImUser, join_mode: str) -> None:
    gid = await make_group(ann, ben, join_mode=join_mode)
    before = await everything(ann, gid)
    for call in OF_GROUPS:
        method, path, body = filled(call, gid=gid, member=ben.user_id)
        if join_mode == "approval" and path.endswith("/requests") and method == "POST":
            continue
        try:
            await cat.call(method, path, body)
        except Refused as refusal:
            assert (refusal.status, refusal.body["errcode"]) in (
                (403, "M_FORBIDDEN"),
                (404, "M_NOT_FOUND"),
            ), path
        else:
            raise AssertionError(f"{method} {path} is for members")
    assert await everything(ann, gid) == before


async def test_members_are_no_admins(ann: ImUser, ben: ImUser, cat: ImUser) -> None:
    gid = await make_group(ann, ben, cat, invite_permission="admin")
    before = await everything(ann, gid)
    for_all = {("GET", "/announcement"), ("GET", "/members"), ("POST", "/leave"), ("GET", "/invitations")}
    for_all |= {("POST", "/requests"), ("GET", "/invite-links"), ("DELETE", "/l1"), ("GET", "/qr.svg")}
    for call in OF_GROUPS:
        method, path, body = filled(call, gid=gid, member=cat.user_id)
        if any(method == verb and path.endswith(end) for verb, end in for_all):
            continue
        with refused("M_FORBIDDEN", 403):
            await ben.call(method, path, body)
    with refused("IM_LINK_INVALID", 404):
        await ben.call("DELETE", f"/groups/{gid}/invite-links/l1")
    assert await everything(ann, gid) == before


async def test_what_is_dissolved_stays_so(server: Server, ann: ImUser, ben: ImUser, cat: ImUser) -> None:
    gid = await make_group(ann, ben)
    link = await ann.call("POST", f"/groups/{gid}/invite-links", {})
    await ann.call("DELETE", f"/groups/{gid}")
    before = await everything(ann, gid)
    others = (f"/invitations/{segment(ben.user_id)}", f"/requests/{segment(ben.user_id)}")
    for call in OF_GROUPS:
        method, path, body = filled(call, gid=gid, member=ben.user_id)
        if path.endswith(others) and method in ("PUT", "DELETE"):
            continue
        with refused("IM_GROUP_DISSOLVED", 410):
            await ann.call(method, path, body)
    with refused("IM_LINK_INVALID", 404):
        await cat.call("POST", f"/invite-links/{link['token']}/join")
    # Its members are being removed meanwhile; nothing else is.
    after = await everything(ann, gid)
    assert [one for one in after if one[0] != "m.room.member"] == [
        one for one in before if one[0] != "m.room.member"
    ]


async def test_moments_are_for_whom_they_are_for(ann: ImUser, ben: ImUser, cat: ImUser) -> None:
    await ann.befriends(ben)
    await ben.reads_moments_of(ann)
    posted = await ann.call("POST", "/moments", {"text": "a cake"})
    moment, room = posted["moment_id"], posted["room_id"]
    comment = (await ben.call("POST", f"/moments/{moment}/comments", {"body": "yum"}))["comment_id"]
    for call in OF_MOMENTS:
        method, path, body = filled(call, moment=moment)
        with refused("M_NOT_FOUND", 404):
            await cat.call(method, path, body)
    # A friend reads, likes and comments; the rest is the author's.
    with refused("M_FORBIDDEN", 403):
        await ben.call("DELETE", f"/moments/{moment}")
    # What is no moment is none, whoever may see it.
    for nothing in (comment, "$nothing"):
        with refused("M_NOT_FOUND", 404):
            await ben.call("PUT", f"/moments/{segment(nothing)}/like")
    with refused("M_NOT_FOUND", 404):
        await ben.call("POST", f"/moments/{moment}/comments", {"body": "x", "reply_to": moment})
    assert len((await ann.stock.messages(room))["chunk"]) > 0
    seen = await ann.call("GET", f"/moments/{moment}")
    assert (seen["like_count"], seen["comment_count"]) == (0, 1)


WRONG: list[tuple[str, str, Any]] = [
    ("POST", "/friends/requests", {}),
    ("POST", "/friends/requests", {"user_id": 7}),
    ("POST", "/friends/requests", {"user_id": "@ben:one.test", "message": 7}),
    ("PUT", "/friends/requests/fr_1", {"action": "dance"}),
    ("PATCH", "/friends/@ben:one.test", {"remark": 7}),
    ("POST", "/friends/categories", {"name": 7}),
    ("PATCH", "/friends/categories/c1", {"order": "first"}),
    ("POST", "/groups", {"name": 7}),
    ("POST", "/groups", {"name": "x", "members": "everybody"}),
    ("POST", "/groups", {"name": "x", "join_mode": "maybe"}),
    ("PATCH", "/groups/{gid}", {"name": 7}),
    ("PUT", "/groups/{gid}/settings", {"join_mode": "maybe"}),
    ("PUT", "/groups/{gid}/mute", {"enabled": "yes"}),
    ("PUT", "/groups/{gid}/announcement", {"text": ["x"]}),
    ("POST", "/groups/{gid}/members", {"user_ids": "@ben:one.test"}),
    ("PATCH", "/groups/{gid}/members/{member}", {"role": "king"}),
    ("PATCH", "/groups/{gid}/members/{member}", {"muted_until": "tomorrow"}),
    ("POST", "/groups/{gid}/transfer", {"new_owner": "nobody"}),
    ("POST", "/groups/{gid}/invite-links", {"expires_in": "long"}),
    ("POST", "/groups/{gid}/invite-links", {"max_uses": 1.5}),
    ("POST", "/moments", {"text": 7}),
    ("POST", "/moments", {"text": "x", "visibility": "some"}),
    ("POST", "/moments", {"text": "x", "location": "here"}),
    ("POST", "/moments", {"text": "x", "mentions": ["nobody"]}),
]
OUT_OF_BOUNDS: list[tuple[str, str, Any]] = [
    ("GET", "/friends?limit=0", None),
    ("GET", "/friends?limit=101", None),
    ("GET", "/friends?from=nonsense", None),
    ("GET", "/friends/requests?state=lost", None),
    ("GET", "/groups/{gid}/members?from=x", None),
    ("GET", "/moments/timeline?from=x", None),
    ("POST", "/friends/requests", {"user_id": "@ben:one.test", "message": "x" * 256}),
    ("POST", "/friends/categories", {"name": "x" * 51}),
    ("POST", "/groups", {"name": "x" * 101}),
    ("PATCH", "/groups/{gid}", {"name": " "}),
    ("PUT", "/groups/{gid}/announcement", {"text": "x" * 4001}),
    ("PATCH", "/groups/{gid}/members/{member}", {"muted_until": 1}),
    ("POST", "/groups/{gid}/invite-links", {"expires_in": 0}),
    ("POST", "/groups/{gid}/invite-links", {"max_uses": 0}),
    ("POST", "/moments", {"text": "x" * 10_001}),
    ("POST", "/moments", {"media": ["mxc://one.test/a"] * 10}),
]


async def test_what_has_the_wrong_form_changes_nothing(ann: ImUser, ben: ImUser) -> None:
    gid = await make_group(ann, ben)
    before = await everything(ann, gid)
    for wrong, codes in ((WRONG, {"M_BAD_JSON", "M_INVALID_PARAM"}), (OUT_OF_BOUNDS, {"M_INVALID_PARAM"})):
        for call in wrong:
            method, path, body = filled(call, gid=gid, member=ben.user_id)
            try:
                await ann.call(method, path, body)
            except Refused as refusal:
                assert refusal.status == 400 and refusal.body["errcode"] in codes, (path, body, refusal)
            else:
                raise AssertionError(f"{method} {path} takes {body}")
    assert await everything(ann, gid) == before
    assert await ann.requests("out") == []
    assert await ann.moments() == []


async def test_ten_thousand_at_once_are_too_many(ann: ImUser, ben: ImUser) -> None:
    gid = await make_group(ann, ben)
    before = await everything(ann, gid)
    many = [f"@user{number}:one.test" for number in range(10_000)]
    for path, body in (
        (f"/groups/{gid}/members", {"user_ids": many}),
        (f"/groups/{gid}/invitations", {"user_ids": many}),
        ("/groups", {"name": "x", "members": many}),
    ):
        with refused("M_TOO_LARGE", 413):
            await ann.call("POST", path, body)
    assert await everything(ann, gid) == before
    assert len((await ann.call("GET", "/groups"))["items"]) == 1


async def test_requests_that_are_over_stay_over(ann: ImUser, ben: ImUser, cat: ImUser) -> None:
    asked = await ann.asks(ben)
    for stranger, action in ((cat, "accept"), (cat, "cancel"), (ann, "accept"), (ben, "cancel")):
        with refused("M_NOT_FOUND", 404):
            await stranger.answers(asked["request_id"], action)
    await ben.answers(asked["request_id"], "reject")
    for person, action in ((ben, "accept"), (ben, "ignore"), (ann, "cancel")):
        with refused("IM_REQUEST_HANDLED", 409):
            await person.answers(asked["request_id"], action)
    assert await ann.friends() == []
    with refused("M_NOT_FOUND", 404):
        await ann.call("PATCH", f"/friends/{ben.user_id}", {"remark": "not mine"})


async def test_a_group_that_is_encrypted_announces_nothing_in_the_clear(ann: ImUser, ben: ImUser) -> None:
    gid = await make_group(ann, ben)
    await ann.stock.sets(gid, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    before = await everything(ann, gid)
    with refused("IM_ENCRYPTED", 409):
        await ann.call("PUT", f"/groups/{gid}/announcement", {"text": "for all to read"})
    assert await everything(ann, gid) == before
