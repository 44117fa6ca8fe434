"""Remembered answers: nobody sees what is not theirs, or what is no longer so."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.harness.client import segment
from tests.harness.im_user import ImUser
from tests.harness.refusals import refused
from tests.harness.server import Server


async def test_many_who_look_at_once_ask_the_database_once(server: Server, ann: ImUser, ben: ImUser) -> None:
    profiles = server.homeserver.services.users.profiles
    loaded, load = [], profiles.load

    async def counted(user_id: Any) -> dict[str, Any]:
        loaded.append(user_id)
        # As a database that takes its time.
        await server.clock.sleep(0.1)
        return await load(user_id)

    profiles.load = counted  # type: ignore[method-assign]  # watched, not replaced
    looks = [Deferred.fromCoroutine(ben.call("GET", f"/users/{ann.user_id}")) for _ in range(200)]
    answers = await gatherResults(looks)
    assert len(loaded) == 1
    assert {answer["user_id"] for answer in answers} == {ann.user_id}
    assert len(answers) == 200


async def test_a_profile_that_changes_is_seen_at_once(ann: ImUser, ben: ImUser) -> None:
    assert (await ben.call("GET", "/users/ann"))["nickname"] == "ann"
    # By a stock client, too.
    path = f"/profile/{ann.user_id}/displayname"
    await ann.stock.request("PUT", path, {"displayname": "Ann"})
    assert (await ben.call("GET", "/users/ann"))["nickname"] == "Ann"


async def test_what_is_personal_is_not_remembered_for_others(ann: ImUser, ben: ImUser, cat: ImUser) -> None:
    await ann.befriends(ben)
    await ann.call("PUT", "/users/me/presence", {"status": "online"})
    seen = [await one.call("GET", f"/users/{ann.user_id}") for one in (ben, cat, ann)]
    assert [one["relation"] for one in seen] == ["friend", "none", "self"]
    assert ["presence" in one for one in seen] == [True, False, True]


async def test_groups_are_remembered_for_those_who_may_see_them(
    ann: ImUser, ben: ImUser, cat: ImUser
) -> None:
    group = await ann.call("POST", "/groups", {"name": "Chess", "searchable": True, "join_mode": "open"})
    path = f"/groups/{segment(group['gid'])}"
    assert (await ben.call("GET", path))["name"] == "Chess"
    assert [one["name"] for one in (await ben.call("GET", "/groups/search", q="che"))["items"]] == ["Chess"]
    await ann.call("PATCH", path, {"name": "Checkers"})
    assert (await ben.call("GET", path))["name"] == "Checkers"
    assert [one["name"] for one in (await ben.call("GET", "/groups/search", q="che"))["items"]] == [
        "Checkers"
    ]
    await ann.call("PUT", f"{path}/settings", {"searchable": False, "join_mode": "invite"})
    assert (await ann.call("GET", path))["my_role"] == "owner"
    # It is remembered by now, but not for strangers.
    with refused("M_NOT_FOUND", 404):
        await cat.call("GET", path)
    assert (await cat.call("GET", "/groups/search", q="che"))["items"] == []
