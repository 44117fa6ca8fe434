"""Invite links into groups, and their QR codes."""

from __future__ import annotations

from tests.features.im.test_groups import make_group
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


async def test_whoever_has_the_link_joins(alice: User, bob: User, carol: User) -> None:
    gid = (await make_group(alice))["gid"]
    link = await alice.request("POST", f"/im/v1/groups/{gid}/invite-links", {"max_uses": 1})
    seen = await bob.request("GET", f"/im/v1/invite-links/{link['token']}", authenticated=False)
    assert (seen["gid"], seen["name"], seen["invited_by"]) == (gid, "Cakes", alice.user_id)
    shown = await alice.state(gid, "m.room.third_party_invite", link["link_id"])
    valid = {"public_key": shown["public_key"]}
    assert await bob.request("GET", "/im/v1/invite-keys/valid", query=valid) == {"valid": True}
    joined = await bob.request("POST", f"/im/v1/invite-links/{link['token']}/join")
    assert joined == {"gid": gid, "state": "joined"}
    await alice.sees(gid, member={bob: "join"})
    # One use was all it had: it is over, and the room says so.
    with refused("IM_LINK_INVALID", 404):
        await carol.request("POST", f"/im/v1/invite-links/{link['token']}/join")
    assert await alice.state(gid, "m.room.third_party_invite", link["link_id"]) == {}
    assert await bob.request("GET", "/im/v1/invite-keys/valid", query=valid) == {"valid": False}


async def test_links_are_listed_drawn_and_revoked(alice: User, bob: User, carol: User) -> None:
    gid = (await make_group(alice, bob))["gid"]
    path = f"/im/v1/groups/{gid}/invite-links"
    own = await bob.request("POST", path, {})
    await alice.request("POST", path, {})
    assert len((await alice.request("GET", path))["items"]) == 2
    assert [link["link_id"] for link in (await bob.request("GET", path))["items"]] == [own["link_id"]]
    drawn = await bob.ask("GET", f"{path}/{own['link_id']}/qr.svg")
    assert drawn.media_type == "image/svg+xml"
    assert drawn.body.startswith(b"<svg")
    with refused("IM_LINK_INVALID", 404):
        await carol.request("GET", "/im/v1/invite-links/AAAA")
    await alice.request("DELETE", f"{path}/{own['link_id']}")
    with refused("IM_LINK_INVALID", 404):
        await carol.request("POST", f"/im/v1/invite-links/{own['token']}/join")
    with refused("IM_LINK_INVALID", 404):
        await alice.request("DELETE", f"{path}/{own['link_id']}")


async def test_links_expire(server: Server, alice: User, bob: User) -> None:
    gid = (await make_group(alice))["gid"]
    path = f"/im/v1/groups/{gid}/invite-links"
    with refused("M_INVALID_PARAM", 400):
        await alice.request("POST", path, {"expires_in": 31 * 86_400})
    link = await alice.request("POST", path, {"expires_in": 60})
    await server.passes(61)
    with refused("IM_LINK_INVALID", 404):
        await bob.request("POST", f"/im/v1/invite-links/{link['token']}/join")


async def test_a_link_with_approval_asks(alice: User, bob: User) -> None:
    gid = (await make_group(alice))["gid"]
    path = f"/im/v1/groups/{gid}/invite-links"
    with refused("M_INVALID_PARAM", 400):
        await alice.request("POST", path, {"approval": True})
    await alice.request("PUT", f"/im/v1/groups/{gid}/settings", {"join_mode": "approval"})
    link = await alice.request("POST", path, {"approval": True})
    asked = await bob.request("POST", f"/im/v1/invite-links/{link['token']}/join")
    assert asked == {"gid": gid, "state": "requested"}
    waiting = (await alice.request("GET", f"/im/v1/groups/{gid}/requests"))["items"]
    assert [one["user_id"] for one in waiting] == [bob.user_id]


async def test_the_banned_stay_outside(alice: User, bob: User) -> None:
    gid = (await make_group(alice))["gid"]
    link = await alice.request("POST", f"/im/v1/groups/{gid}/invite-links", {})
    await alice.bans(gid, bob)
    with refused("M_FORBIDDEN", 403):
        await bob.request("POST", f"/im/v1/invite-links/{link['token']}/join")
