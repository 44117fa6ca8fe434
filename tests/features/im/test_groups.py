"""Groups: made and run through the facade, seen and used by stock clients, and the other way round."""

from __future__ import annotations

from typing import Any

from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

GROUP = "im.hearth.group"


async def make_group(owner: User, *members: User, **options: Any) -> dict[str, Any]:
    """A group that everybody named is a member of."""
    named = {"name": "Cakes", "members": [member.user_id for member in members], **options}
    group = await owner.request("POST", "/im/v1/groups", named)
    for member in members:
        path = f"/im/v1/groups/{group['gid']}/invitations/{member.user_id}"
        await member.request("PUT", path, {"action": "accept"})
    return group


async def change_member(who: User, gid: str, member: User, **change: Any) -> None:
    await who.request("PATCH", f"/im/v1/groups/{gid}/members/{member.user_id}", change)


async def members_of(viewer: User, gid: str) -> dict[str, str]:
    answer = await viewer.request("GET", f"/im/v1/groups/{gid}/members")
    return {item["user_id"]: item["role"] for item in answer["items"]}


async def test_a_group_is_a_room_that_stock_clients_understand(alice: User, bob: User) -> None:
    group = await make_group(alice, bob, description="What to bake", number="4711")
    gid = group["gid"]
    assert (group["name"], group["description"], group["number"]) == ("Cakes", "What to bake", "4711")
    assert group["my_role"] == "owner"
    await bob.says(gid, "hello from a stock client")
    await alice.sees(gid, "hello from a stock client", member={bob: "join"})
    assert (await alice.state(gid, "m.room.create"))["type"] == GROUP
    assert (await alice.state(gid, "m.room.create"))["room_version"] == "11"
    assert (await alice.state(gid, "m.room.name")) == {"name": "Cakes"}
    assert (await alice.request("GET", "/directory/room/%234711:one.test"))["room_id"] == gid
    assert await members_of(bob, gid) == {alice.user_id: "owner", bob.user_id: "member"}


async def test_what_a_stock_client_does_is_done_to_the_group(alice: User, bob: User, carol: User) -> None:
    gid = (await make_group(alice))["gid"]
    await alice.invites(gid, bob)
    mine = await bob.request("GET", "/im/v1/users/me/group-invitations")
    assert [(item["gid"], item["name"]) for item in mine["items"]] == [(gid, "Cakes")]
    await bob.joins(gid)
    await alice.sets(gid, "m.room.name", {"name": "Pies"})
    (group,) = (await bob.request("GET", "/im/v1/groups"))["items"]
    assert (group["name"], group["member_count"], group["my_role"]) == ("Pies", 2, "member")
    assert (await carol.request("GET", "/im/v1/groups"))["items"] == []


async def test_only_the_owner_appoints_admins(alice: User, bob: User, carol: User) -> None:
    gid = (await make_group(alice, bob, carol))["gid"]
    await change_member(alice, gid, bob, role="admin")
    assert (await members_of(carol, gid))[bob.user_id] == "admin"
    with refused("M_FORBIDDEN", 403):
        await change_member(bob, gid, carol, role="admin")
    levels = await bob.state(gid, "m.room.power_levels")
    with refused("M_FORBIDDEN", 403):
        await bob.sets(gid, "m.room.power_levels", levels | {"users": {**levels["users"], carol.user_id: 50}})
    with refused("M_FORBIDDEN", 403):
        await bob.sets(gid, "m.room.power_levels", levels | {"users_default": 50})
    await change_member(alice, gid, bob, role="member")
    assert (await members_of(carol, gid))[bob.user_id] == "member"


async def test_a_group_is_handed_over(alice: User, bob: User) -> None:
    gid = (await make_group(alice, bob))["gid"]
    with refused("IM_OWNER_MUST_TRANSFER", 409):
        await alice.request("POST", f"/im/v1/groups/{gid}/leave")
    with refused("M_FORBIDDEN", 403):
        await bob.request("POST", f"/im/v1/groups/{gid}/transfer", {"new_owner": bob.user_id})
    await alice.request("POST", f"/im/v1/groups/{gid}/transfer", {"new_owner": bob.user_id})
    assert await members_of(bob, gid) == {bob.user_id: "owner", alice.user_id: "admin"}
    await alice.request("POST", f"/im/v1/groups/{gid}/leave")
    await bob.sees(gid, member={alice: "leave"})


async def test_everybody_is_muted_but_admins(alice: User, bob: User) -> None:
    gid = (await make_group(alice, bob))["gid"]
    said = await bob.says(gid, "I can talk")
    with refused("M_FORBIDDEN", 403):
        await bob.request("PUT", f"/im/v1/groups/{gid}/mute", {"enabled": True})
    await alice.request("PUT", f"/im/v1/groups/{gid}/mute", {"enabled": True})
    with refused("M_FORBIDDEN", 403):
        await bob.says(gid, "but now I cannot")
    # What one has said one may still take back.
    await bob.redacts(gid, said)
    await alice.says(gid, "admins can")
    await alice.request("PUT", f"/im/v1/groups/{gid}/mute", {"enabled": False})
    await bob.says(gid, "and again")


async def test_one_member_is_muted_for_a_while(server: Server, alice: User, bob: User, carol: User) -> None:
    gid = (await make_group(alice, bob, carol))["gid"]
    await change_member(alice, gid, bob, role="admin")
    until = server.clock.now_ms() + 60_000
    await change_member(bob, gid, carol, muted_until=until)
    with refused("M_FORBIDDEN", 403):
        await carol.says(gid, "hush")
    people = (await alice.request("GET", f"/im/v1/groups/{gid}/members"))["items"]
    assert [item.get("muted_until") for item in people if item["muted"]] == [until]
    with refused("M_FORBIDDEN", 403):
        await change_member(bob, gid, alice, muted=True)
    await server.restarts()
    await server.passes(61)
    await carol.says(gid, "I am back")


async def test_asking_to_join(alice: User, bob: User, carol: User) -> None:
    gid = (await make_group(alice, join_mode="approval"))["gid"]
    asked = await bob.request("POST", f"/im/v1/groups/{gid}/requests", {"message": "may I?"})
    assert asked["state"] == "requested"
    await carol.knocks(gid, reason="me too")
    (mine,) = (await bob.request("GET", "/im/v1/users/me/group-requests"))["items"]
    assert (mine["gid"], mine["message"]) == (gid, "may I?")
    waiting = (await alice.request("GET", f"/im/v1/groups/{gid}/requests"))["items"]
    assert [(one["user_id"], one["message"]) for one in waiting] == [
        (bob.user_id, "may I?"),
        (carol.user_id, "me too"),
    ]
    await alice.request("PUT", f"/im/v1/groups/{gid}/requests/{bob.user_id}", {"action": "accept"})
    await alice.sees(gid, member={bob: "join"})
    await alice.request("PUT", f"/im/v1/groups/{gid}/requests/{carol.user_id}", {"action": "reject"})
    await alice.sees(gid, member={carol: "leave"})
    with refused("M_FORBIDDEN", 403):
        await bob.request("GET", f"/im/v1/groups/{gid}/requests")


async def test_whoever_asked_joins_when_a_stock_client_invites(alice: User, bob: User) -> None:
    gid = (await make_group(alice, join_mode="approval"))["gid"]
    await bob.request("POST", f"/im/v1/groups/{gid}/requests", {})
    await alice.invites(gid, bob)
    await alice.sees(gid, member={bob: "join"})


async def test_an_open_group_is_found_and_joined(alice: User, bob: User) -> None:
    group = await make_group(alice, join_mode="open", searchable=True, number="123456")
    await make_group(alice, name="Secret cakes")
    await bob.creates_room(public=True, name="Cakes, but no group", visibility="public")
    for term in ("cake", "123456"):
        found = (await bob.request("GET", "/im/v1/groups/search", query={"q": term}))["items"]
        assert [item["gid"] for item in found] == [group["gid"]]
    joined = await bob.request("POST", f"/im/v1/groups/{group['gid']}/requests", {})
    assert joined["state"] == "joined"
    assert group["gid"] in [one["gid"] for one in (await bob.request("GET", "/im/v1/groups"))["items"]]


async def test_only_admins_invite(alice: User, bob: User, carol: User) -> None:
    gid = (await make_group(alice, bob))["gid"]
    await alice.request("PUT", f"/im/v1/groups/{gid}/settings", {"invite_permission": "admin"})
    with refused("M_FORBIDDEN", 403):
        await bob.request("POST", f"/im/v1/groups/{gid}/members", {"user_ids": [carol.user_id]})
    with refused("M_FORBIDDEN", 403):
        await bob.invites(gid, carol)
    with refused("M_FORBIDDEN", 403):
        await bob.request("POST", f"/im/v1/groups/{gid}/invite-links", {})
    answer = await alice.request(
        "POST", f"/im/v1/groups/{gid}/members", {"user_ids": [carol.user_id, "nobody", bob.user_id]}
    )
    assert [item["state"] for item in answer["items"]] == ["invited", "refused", "refused"]


async def test_an_announcement_is_pinned_and_taken_down(alice: User, bob: User) -> None:
    gid = (await make_group(alice, bob))["gid"]
    path = f"/im/v1/groups/{gid}/announcement"
    with refused("M_NOT_FOUND", 404):
        await bob.request("GET", path)
    with refused("M_FORBIDDEN", 403):
        await bob.request("PUT", path, {"text": "mine"})
    await alice.request("PUT", path, {"text": "first"})
    said = (await alice.request("PUT", path, {"text": "second"}))["event_id"]
    assert (await bob.request("GET", path))["text"] == "second"
    assert await bob.state(gid, "m.room.pinned_events") == {"pinned": [said]}
    await bob.sees(gid, "first", "second", highlights=2)
    await alice.request("DELETE", path)
    assert await bob.state(gid, "m.room.pinned_events") == {"pinned": []}


async def test_a_nickname_holds_in_its_group_only(alice: User, bob: User) -> None:
    gid = (await make_group(alice, bob))["gid"]
    await change_member(bob, gid, bob, nickname="Baker Bob")
    assert (await alice.state(gid, "m.room.member", bob.user_id))["displayname"] == "Baker Bob"
    assert (await alice.request("GET", f"/profile/{bob.user_id}")).get("displayname") != "Baker Bob"
    with refused("M_FORBIDDEN", 403):
        await change_member(alice, gid, bob, nickname="Bobby")


async def test_members_are_removed(alice: User, bob: User, carol: User) -> None:
    gid = (await make_group(alice, bob, carol))["gid"]
    with refused("M_FORBIDDEN", 403):
        await bob.request("DELETE", f"/im/v1/groups/{gid}/members/{carol.user_id}")
    await alice.request("DELETE", f"/im/v1/groups/{gid}/members/{carol.user_id}", query={"reason": "crumbs"})
    assert (await alice.state(gid, "m.room.member", carol.user_id))["reason"] == "crumbs"
    with refused("M_FORBIDDEN", 403):
        await carol.request("GET", f"/im/v1/groups/{gid}/members")


async def test_a_group_is_dissolved(server: Server, alice: User, bob: User, carol: User) -> None:
    group = await make_group(alice, bob, searchable=True)
    gid = group["gid"]
    await alice.invites(gid, carol)
    await bob.says(gid, "last words")
    with refused("M_FORBIDDEN", 403):
        await bob.request("DELETE", f"/im/v1/groups/{gid}")
    job = await alice.request("DELETE", f"/im/v1/groups/{gid}", query={"reason": "no flour"})
    with refused("M_FORBIDDEN", 403):
        await bob.says(gid, "too late")
    with refused("IM_GROUP_DISSOLVED", 410):
        await bob.request("POST", f"/im/v1/groups/{gid}/members", {"user_ids": [carol.user_id]})
    await server.restarts()
    await server.passes(5)
    assert (await alice.request("GET", f"/im/v1/jobs/{job['job_id']}"))["state"] == "done"
    left = await bob.request("GET", f"/im/v1/groups/{gid}")
    assert (left["membership"], left["dissolved"]) == ("leave", True)
    assert (await carol.request("GET", "/im/v1/users/me/group-invitations"))["items"] == []
    assert (await bob.request("GET", "/im/v1/groups/search", query={"q": "Cakes"}))["items"] == []
    # Its number is free, and its history stays with those who were in it.
    await make_group(bob, number=group["number"])
    page = await bob.messages(gid)
    assert "last words" in [event["content"].get("body") for event in page["chunk"]]


async def test_bad_groups_are_refused(alice: User, bob: User) -> None:
    with refused("M_INVALID_PARAM", 400):
        await alice.request("POST", "/im/v1/groups", {"name": "  "})
    with refused("M_INVALID_PARAM", 400):
        await alice.request("POST", "/im/v1/groups", {"name": "x", "number": "12a4"})
    with refused("M_TOO_LARGE", 413):
        many = [f"@user{number}:one.test" for number in range(10_000)]
        await alice.request("POST", "/im/v1/groups", {"name": "x", "members": many})
    await make_group(alice, number="9999")
    with refused("M_ROOM_IN_USE", 400):
        await bob.request("POST", "/im/v1/groups", {"name": "y", "number": "9999"})
    room = await alice.creates_room()
    with refused("M_NOT_FOUND", 404):
        await alice.request("GET", f"/im/v1/groups/{room}")
    with refused("M_MISSING_TOKEN", 401):
        await alice.request("GET", "/im/v1/groups", authenticated=False)
