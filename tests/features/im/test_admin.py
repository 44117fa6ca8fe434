"""Administrators over the IM API: accounts, groups and jobs; and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.client import segment
from tests.harness.configuration import PASSWORD
from tests.harness.im_user import ImUser, im_call
from tests.harness.refusals import refused
from tests.harness.server import Server


@pytest.fixture
def root(server: Server) -> ImUser:
    return ImUser(server.drive(server.admin("root")))


async def test_accounts_are_listed_and_looked_at(root: ImUser, ann: ImUser, ben: ImUser) -> None:
    first = await root.call("GET", "/admin/users", limit=2)
    rest = await root.call("GET", "/admin/users", limit=2, from_=first["next_batch"])
    assert [one["user_id"] for one in first["items"]] == [ann.user_id, ben.user_id]
    assert [one["user_id"] for one in rest["items"]] == [root.user_id] and "next_batch" not in rest
    assert [one["user_id"] for one in (await root.call("GET", "/admin/users", q="@be"))["items"]] == [
        ben.user_id
    ]
    assert (await root.call("GET", "/admin/users", q="%"))["items"] == []
    seen = await root.call("GET", f"/admin/users/{ann.user_id}")
    assert (seen["nickname"], seen["locked"], seen["emails"]) == ("ann", False, [])


async def test_an_account_is_changed(server: Server, root: ImUser, ann: ImUser, ben: ImUser) -> None:
    path = f"/admin/users/{ann.user_id}"
    changed = await root.call(
        "PUT", path, {"nickname": "Ann", "emails": ["Ann@Example.org"], "phones": ["+44 1234 567890"]}
    )
    assert (changed["nickname"], changed["emails"], changed["phones"]) == (
        "Ann",
        ["ann@example.org"],
        ["441234567890"],
    )
    login = {"type": "password", "identifier": {"phone": "+441234567890"}, "password": PASSWORD}
    assert (await im_call(server.client(), "POST", "/auth/login", login))["user_id"] == ann.user_id
    with refused("M_THREEPID_IN_USE", 409):
        await root.call(
            "PUT", f"/admin/users/{ben.user_id}", {"emails": ["new@example.org", "ann@example.org"]}
        )
    assert (await root.call("GET", f"/admin/users/{ben.user_id}"))["emails"] == []
    with refused("M_INVALID_PARAM", 400):
        await root.call("PUT", path, {"phones": ["call me"]})
    assert (await root.call("PUT", path, {"emails": []}))["emails"] == []
    await root.call("PUT", path, {"suspended": True})
    with refused("M_USER_SUSPENDED", 403):
        await ann.call("PATCH", "/users/me", {"nickname": "Eve"})
    await root.call("PUT", path, {"locked": True})
    with refused("M_USER_LOCKED", 401):
        await ann.call("GET", "/users/me")
    await root.call("PUT", path, {"locked": False, "suspended": False})
    await ann.call("PATCH", "/users/me", {"nickname": "Annie"})


async def test_an_account_is_ended(root: ImUser, ann: ImUser) -> None:
    await root.call("DELETE", f"/admin/users/{ann.user_id}", erase=True)
    with refused("M_UNKNOWN_TOKEN", 401):
        await ann.call("GET", "/users/me")
    assert (await root.call("GET", f"/admin/users/{ann.user_id}"))["deactivated"] is True
    with refused("M_NOT_FOUND", 404):
        await root.call("DELETE", f"/admin/users/{ann.user_id}")
    with refused("M_FORBIDDEN", 403):
        await root.call("DELETE", f"/admin/users/{root.user_id}")


async def test_a_group_is_dissolved_in_its_owners_name(
    server: Server, root: ImUser, ann: ImUser, ben: ImUser
) -> None:
    group = await ann.call("POST", "/groups", {"name": "Spam", "members": [ben.user_id]})
    assert [one["gid"] for one in (await root.call("GET", "/admin/groups"))["items"]] == [group["gid"]]
    job = await root.call("DELETE", f"/admin/groups/{segment(group['gid'])}", reason="spam")
    await server.passes(5)
    states = {one["job_id"]: one["state"] for one in (await root.call("GET", "/admin/jobs"))["items"]}
    assert states[job["job_id"]] == "done"
    assert (await ann.stock.members(group["gid"]))[ben.user_id] == "leave"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/admin/users", None),
        ("GET", "/admin/users/@ben:one.test", None),
        ("PUT", "/admin/users/@ben:one.test", {"locked": True}),
        ("DELETE", "/admin/users/@ben:one.test", None),
        ("GET", "/admin/groups", None),
        ("DELETE", "/admin/groups/!x:one.test", None),
        ("GET", "/admin/jobs", None),
        ("POST", "/admin/projections/rebuild", {}),
    ],
)
async def test_nobody_else(ann: ImUser, ben: ImUser, method: str, path: str, body: Any) -> None:
    with refused("M_FORBIDDEN", 403):
        await ann.call(method, path, body)
    await ben.call("GET", "/users/me")
