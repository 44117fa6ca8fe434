"""Groups of people on two servers: invited, asking, coming by a link, governed, and dissolved."""

from __future__ import annotations

from typing import Any

from tests.features.federation.conftest import MakeServer
from tests.harness.im_user import ImUser
from tests.harness.refusals import refused
from tests.harness.server import Server


async def make_group(owner: ImUser, *members: ImUser, **options: Any) -> str:
    """A group that everybody named is a member of."""
    ids = [member.user_id for member in members]
    group = await owner.call("POST", "/groups", {"name": "Cakes", "members": ids, **options})
    gid: str = group["gid"]
    for member in members:
        await member.stock.sees(gid, membership="invite")
        await member.call("PUT", f"/groups/{gid}/invitations/{member.user_id}", {"action": "accept"})
        await owner.stock.sees(gid, member={member.stock: "join"})
    return gid


async def test_members_of_two_servers_talk(ann: ImUser, ben: ImUser) -> None:
    group = await ann.call("POST", "/groups", {"name": "Cakes", "members": [ben.user_id], "number": "4711"})
    gid = group["gid"]
    assert [(each["user_id"], each["state"]) for each in group["invitations"]] == [(ben.user_id, "invited")]
    await ben.stock.sees(gid, membership="invite")
    (invitation,) = (await ben.call("GET", "/users/me/group-invitations"))["items"]
    assert (invitation["gid"], invitation["name"], invitation["by"]) == (gid, "Cakes", ann.user_id)
    # An invitation to a group is no friend request.
    assert await ben.requests() == []
    await ben.call("PUT", f"/groups/{gid}/invitations/{ben.user_id}", {"action": "accept"})
    (mine,) = (await ben.call("GET", "/groups"))["items"]
    assert (mine["name"], mine["number"], mine["my_role"], mine["member_count"]) == (
        "Cakes",
        "4711",
        "member",
        2,
    )
    await ann.stock.sees(gid, member={ben.stock: "join"})
    await ben.says(gid, "hello")
    await ann.stock.sees(gid, "hello")
    await ann.call("PATCH", f"/groups/{gid}", {"name": "Pies"})
    await ben.stock.sees(gid, state={"m.room.name": {"name": "Pies"}})


async def test_an_unreachable_member_keeps_nobody_out(ann: ImUser, abe: ImUser) -> None:
    group = await ann.call("POST", "/groups", {"name": "Cakes", "members": ["@zoe:gone.test", abe.user_id]})
    states = {each["user_id"]: each["state"] for each in group["invitations"]}
    assert states == {"@zoe:gone.test": "refused", abe.user_id: "invited"}
    assert group["member_count"] == 1


async def test_roles_and_voices_hold_on_both_servers(ann: ImUser, ben: ImUser, bea: ImUser) -> None:
    gid = await make_group(ann, ben, bea)
    await ann.call("PATCH", f"/groups/{gid}/members/{ben.user_id}", {"role": "admin"})
    await ben.sees_role(gid, ben, "admin")
    with refused("M_FORBIDDEN", 403):
        await ben.call("PATCH", f"/groups/{gid}/members/{bea.user_id}", {"role": "admin"})
    await ben.call("PATCH", f"/groups/{gid}/members/{bea.user_id}", {"muted": True})
    with refused("IM_MUTED", 403):
        await bea.says(gid, "hush")
    await ben.call("PATCH", f"/groups/{gid}/members/{bea.user_id}", {"muted": False})
    await bea.says(gid, "I am back")
    # Two who write power levels at once overwrite each other, as the room's rules decide.
    await ann.stock.sees(gid, "I am back")
    await ann.call("PUT", f"/groups/{gid}/mute", {"enabled": True})
    await bea.sees_muted_group(gid)
    with refused("IM_MUTED", 403):
        await bea.says(gid, "and now?")
    await ben.says(gid, "admins may")
    await ann.stock.sees(gid, "I am back", "admins may")
    await ann.call("POST", f"/groups/{gid}/transfer", {"new_owner": ben.user_id})
    await ben.sees_role(gid, ben, "owner")
    await ann.call("POST", f"/groups/{gid}/leave")
    await ben.stock.sees(gid, member={ann.stock: "leave"})


async def test_who_asks_is_let_in(ann: ImUser, ben: ImUser, bea: ImUser) -> None:
    gid = (await ann.call("POST", "/groups", {"name": "Cakes", "join_mode": "approval"}))["gid"]
    for person in (ben, bea):
        asked = await person.call(
            "POST", f"/groups/{gid}/requests", {"message": "may I?", "via": ["one.test"]}
        )
        assert asked == {"gid": gid, "state": "requested"}
    (mine,) = (await ben.call("GET", "/users/me/group-requests"))["items"]
    assert (mine["gid"], mine["name"], mine["message"]) == (gid, "Cakes", "may I?")
    waiting = (await ann.call("GET", f"/groups/{gid}/requests"))["items"]
    assert [one["user_id"] for one in waiting] == [ben.user_id, bea.user_id]
    await ann.call("PUT", f"/groups/{gid}/requests/{ben.user_id}", {"action": "accept"})
    await ann.stock.sees(gid, member={ben.stock: "join"})
    await ann.call("PUT", f"/groups/{gid}/requests/{bea.user_id}", {"action": "reject", "reason": "full"})
    await bea.sees_nothing_in("/users/me/group-requests")


async def test_a_group_is_found_on_its_server_and_joined(make_peer: MakeServer, ben: ImUser) -> None:
    one = make_peer("one.test", allow_public_rooms_over_federation=True)
    ann = ImUser(await one.user("ann"))
    options = {"name": "Cakes", "join_mode": "open", "searchable": True, "number": "123456"}
    gid = (await ann.call("POST", "/groups", options))["gid"]
    found = (await ben.call("GET", "/groups/search", q="cake", server="one.test"))["items"]
    assert [(item["gid"], item["number"]) for item in found] == [(gid, "123456")]
    assert (await ben.call("GET", "/groups/search", q="cake"))["items"] == []
    joined = await ben.call("POST", f"/groups/{gid}/requests", {"via": ["one.test"]})
    assert joined == {"gid": gid, "state": "joined"}
    await ann.stock.sees(gid, member={ben.stock: "join"})


async def test_a_link_brings_in_people_of_another_server(ann: ImUser, ben: ImUser, bea: ImUser) -> None:
    gid = (await ann.call("POST", "/groups", {"name": "Cakes"}))["gid"]
    link = await ann.call("POST", f"/groups/{gid}/invite-links", {"max_uses": 1})
    seen = await ben.call("GET", f"/invite-links/{link['token']}")
    assert (seen["gid"], seen["name"], seen["invited_by"], seen["approval"]) == (
        gid,
        "Cakes",
        ann.user_id,
        False,
    )
    joined = await ben.call("POST", f"/invite-links/{link['token']}/join")
    assert joined == {"gid": gid, "state": "joined"}
    await ann.stock.sees(gid, member={ben.stock: "join"})
    await ben.says(gid, "the code works")
    await ann.stock.sees(gid, "the code works")
    # One use was all it had: the server of its maker says so, and so does the room.
    with refused("IM_LINK_INVALID", 404):
        await bea.call("POST", f"/invite-links/{link['token']}/join")
    assert await ann.stock.state(gid, "m.room.third_party_invite", link["link_id"]) == {}
    assert bea.user_id not in await ann.stock.members(gid)


async def test_a_member_elsewhere_makes_a_link(ann: ImUser, abe: ImUser, ben: ImUser, bea: ImUser) -> None:
    gid = await make_group(ann, ben)
    link = await ben.call("POST", f"/groups/{gid}/invite-links", {})
    for person in (abe, bea):
        joined = await person.call("POST", f"/invite-links/{link['token']}/join")
        assert joined == {"gid": gid, "state": "joined"}
        await ann.stock.sees(gid, member={person.stock: "join"})


async def test_a_link_that_does_not_work(one: Server, ann: ImUser, ben: ImUser, bea: ImUser) -> None:
    gid = (await ann.call("POST", "/groups", {"name": "Cakes"}))["gid"]
    path = f"/groups/{gid}/invite-links"
    revoked = await ann.call("POST", path, {})
    short = await ann.call("POST", path, {"expires_in": 60})
    await ann.call("DELETE", f"{path}/{revoked['link_id']}")
    await one.passes(61)
    for link in (revoked, short):
        with refused("IM_LINK_INVALID", 404):
            await ben.call("POST", f"/invite-links/{link['token']}/join")
    good = await ann.call("POST", path, {})
    await ann.stock.bans(gid, ben.stock)
    with refused("M_FORBIDDEN", 403):
        await ben.call("POST", f"/invite-links/{good['token']}/join")
    # A link with the wrong key signs for nothing.
    other = await ann.call("POST", path, {})
    with refused("IM_LINK_INVALID", 404):
        await bea.call("POST", f"/invite-links/{other['token'][:-8]}/join")
    assert set((await ann.stock.members(gid)).values()) == {"join", "ban"}


async def test_a_link_with_approval_asks_across_servers(ann: ImUser, ben: ImUser) -> None:
    gid = (await ann.call("POST", "/groups", {"name": "Cakes", "join_mode": "approval"}))["gid"]
    link = await ann.call("POST", f"/groups/{gid}/invite-links", {"approval": True})
    asked = await ben.call("POST", f"/invite-links/{link['token']}/join")
    assert asked == {"gid": gid, "state": "requested"}
    await ann.call("PUT", f"/groups/{gid}/requests/{ben.user_id}", {"action": "accept"})
    await ann.stock.sees(gid, member={ben.stock: "join"})


async def test_a_group_is_dissolved_everywhere(one: Server, ann: ImUser, ben: ImUser, bea: ImUser) -> None:
    gid = await make_group(ann, ben)
    await ann.call("POST", f"/groups/{gid}/members", {"user_ids": [bea.user_id]})
    link = await ann.call("POST", f"/groups/{gid}/invite-links", {})
    await ben.says(gid, "last words")
    await ann.stock.sees(gid, "last words")
    job = await ann.call("DELETE", f"/groups/{gid}")
    await ben.stock.sees(gid, membership="leave")
    left = await ben.call("GET", f"/groups/{gid}")
    assert (left["membership"], left["dissolved"]) == ("leave", True)
    with refused("IM_GROUP_DISSOLVED", 410):
        await ben.call("PUT", f"/groups/{gid}/announcement", {"text": "too late"})
    with refused("IM_LINK_INVALID", 404):
        await bea.call("POST", f"/invite-links/{link['token']}/join")
    await one.passes(30)
    assert (await ann.call("GET", f"/jobs/{job['job_id']}"))["state"] == "done"
    await bea.sees_nothing_in("/users/me/group-invitations")
    assert "last words" in [
        event["content"].get("body") for event in (await ben.stock.messages(gid))["chunk"]
    ]


async def test_a_dissolved_group_is_known_before_anybody_is_removed(ann: ImUser, ben: ImUser) -> None:
    gid = await make_group(ann, ben)
    await ann.call("DELETE", f"/groups/{gid}")
    await ben.stock.waits_until(
        lambda client: client.rooms[gid].content("im.hearth.group.dissolved") is not None, "the end"
    )
    with refused("IM_GROUP_DISSOLVED", 410):
        await ben.call("POST", f"/groups/{gid}/invite-links", {})
