"""Users over the IM API: oneself, others, finding them, and what one has settled."""

from __future__ import annotations

import pytest

from homeserver.ids import UserID
from storage import threepids
from storage.threepids import Threepid
from tests.harness.im_user import ImUser, im_call
from tests.harness.refusals import refused
from tests.harness.server import Server


async def has(server: Server, person: ImUser, medium: str, address: str) -> None:
    """Give somebody an address that is proved."""
    proved = Threepid(medium, address, 1, 1)
    await server.homeserver.surroundings.database.run(threepids.add, UserID(person.user_id), proved)


async def found_by(person: ImUser, q: str, **query: object) -> dict[str, str]:
    """Who is found, and how they stand to the person."""
    answer = await person.call("GET", "/users/search", q=q, **query)
    return {user["user_id"]: user["relation"] for user in answer["items"]}


async def test_one_changes_oneself_and_others_see_it(ann: ImUser, ben: ImUser) -> None:
    changed = await ann.call(
        "PATCH",
        "/users/me",
        {"nickname": "Ann", "avatar": "mxc://one.test/a", "fields": {"im.hearth.sex": "f"}},
    )
    assert changed["nickname"] == "Ann"
    seen = await ben.call("GET", f"/users/{ann.user_id}")
    assert (seen["nickname"], seen["avatar"], seen["fields"]) == (
        "Ann",
        "mxc://one.test/a",
        {"im.hearth.sex": "f"},
    )
    assert seen["relation"] == "none"
    assert "emails" not in seen and "presence" not in seen
    assert (await ben.call("GET", "/users/ann"))["user_id"] == ann.user_id
    # Stock clients see it too.
    assert (await ben.stock.request("GET", f"/profile/{ann.user_id}"))["displayname"] == "Ann"
    await ann.call("PATCH", "/users/me", {"avatar": None, "fields": {"im.hearth.sex": None}})
    seen = await ben.call("GET", f"/users/{ann.user_id}")
    assert (seen["nickname"], seen["avatar"], seen["fields"]) == ("Ann", None, {})


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({"avatar": "https://elsewhere.example/a.png"}, "M_INVALID_PARAM"),
        ({"nickname": "x" * 257}, "M_INVALID_PARAM"),
        ({"nickname": 3}, "M_BAD_JSON"),
        ({"fields": {"displayname": "Eve"}}, "M_INVALID_PARAM"),
        ({"fields": {"no key": 1}}, "M_INVALID_PARAM"),
    ],
)
async def test_what_one_cannot_be(ann: ImUser, body: dict[str, object], errcode: str) -> None:
    before = await ann.call("GET", "/users/me")
    with refused(errcode, 400):
        await ann.call("PATCH", "/users/me", body)
    assert await ann.call("GET", "/users/me") == before


async def test_nobody_who_is_not_there(ann: ImUser, server: Server) -> None:
    with refused("M_NOT_FOUND", 404):
        await ann.call("GET", "/users/nobody")
    with refused("M_INVALID_PARAM", 400):
        await ann.call("GET", "/users/@nobody")
    with refused("M_MISSING_TOKEN", 401):
        await im_call(server.client(), "GET", f"/users/{ann.user_id}")


async def test_people_are_found(server: Server, ann: ImUser, ben: ImUser, cat: ImUser) -> None:
    assert await found_by(ann, "ben") == {ben.user_id: "none"}
    assert await found_by(ann, ben.user_id, by="id") == {ben.user_id: "none"}
    await ann.asks(ben)
    assert await found_by(ann, "ben") == {ben.user_id: "requested"}
    assert await found_by(ben, "ann") == {ann.user_id: "requesting"}
    await ben.accepts(ann)
    await ben.call("PATCH", "/users/me", {"nickname": "Benjamin"})
    await server.passes(5)
    assert await found_by(ann, "benja", by="name") == {ben.user_id: "friend"}
    assert await found_by(ann, "ann") == {ann.user_id: "self"}
    await ann.call("PUT", f"/blocks/{cat.user_id}")
    assert await found_by(ann, "cat") == {cat.user_id: "blocked"}
    assert await found_by(ann, "nobody") == {}
    assert await found_by(ann, "  ") == {}


async def test_addresses_find_who_wants_it(server: Server, ann: ImUser, ben: ImUser) -> None:
    await has(server, ben, "email", "ben@example.org")
    await has(server, ben, "msisdn", "441234567890")
    asked = [("ben@example.org", "email"), ("+44 1234 567890", "phone")]
    for q, by in asked:
        assert await found_by(ann, q, by=by) == await found_by(ann, q) == {}
    await ben.call("PUT", "/users/me/settings", {"discoverable": True})
    for q, by in asked:
        assert await found_by(ann, q, by=by) == await found_by(ann, q) == {ben.user_id: "none"}
    # Whole ones only.
    assert await found_by(ann, "ben@example", by="email") == {}
    assert await found_by(ann, "1234", by="phone") == {}


async def test_settings_are_merged_and_checked(ann: ImUser) -> None:
    before = await ann.call("GET", "/users/me/settings")
    assert before["read_receipts"] is True and before["discoverable"] is False
    after = await ann.call("PUT", "/users/me/settings", {"read_receipts": False, "who_can_add_me": "nobody"})
    assert after == {**before, "read_receipts": False, "who_can_add_me": "nobody"}
    # Stock servers and clients know of it.
    config = await ann.stock.request("GET", f"/user/{ann.user_id}/account_data/m.invite_permission_config")
    assert config == {"default_action": "block"}
    with refused("M_BAD_JSON", 400):
        await ann.call("PUT", "/users/me/settings", {"who_can_add_me": "some"})
    with refused("M_BAD_JSON", 400):
        await ann.call("PUT", "/users/me/settings", {"read_receipts": "no"})
    assert await ann.call("GET", "/users/me/settings") == after


async def test_a_login_by_number(server: Server, ann: ImUser) -> None:
    await has(server, ann, "msisdn", "441234567890")
    body = {
        "type": "password",
        "identifier": {"phone": "+441234567890"},
        "password": ann.stock.password,
    }
    assert (await im_call(server.client(), "POST", "/auth/login", body))["user_id"] == ann.user_id
