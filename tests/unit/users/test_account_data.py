"""Account data and tags, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.ids import RoomID
from homeserver.runtime.notifier import LogKind
from homeserver.users import account_data
from storage import account_data as rows
from tests.unit.users.account_server import AccountServer, user_id_of

ALICE, BOB = user_id_of("alice"), user_id_of("bob")
ROOM = RoomID("!room:one.test")
GLOBAL = f"/user/{ALICE}/account_data"
IN_ROOM = f"/user/{ALICE}/rooms/{ROOM}/account_data"
TAGS = f"/user/{ALICE}/rooms/{ROOM}/tags"


@pytest.mark.parametrize("place", [GLOBAL, IN_ROOM])
async def test_what_is_put_is_got(server: AccountServer, place: str) -> None:
    alice = await server.user("alice")
    content = {"a": [1, 2.5, None, {"ü": "\u0000"}], "big": 2**60}
    for value in ({}, content):
        assert await alice.request("PUT", f"{place}/org.example.type", value) == {}
        assert await alice.request("GET", f"{place}/org.example.type") == value
    answer = await alice.ask("GET", f"{place}/org.example.other")
    assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")


async def test_rooms_and_the_account_are_apart(server: AccountServer) -> None:
    alice = await server.user("alice")
    await alice.request("PUT", f"{GLOBAL}/a.b", {"at": "account"})
    await alice.request("PUT", f"{IN_ROOM}/a.b", {"at": "room"})
    assert await alice.request("GET", f"{GLOBAL}/a.b") == {"at": "account"}
    assert await alice.request("GET", f"{IN_ROOM}/a.b") == {"at": "room"}
    assert [(entry.kind, entry.room_id, entry.ref, entry.payload) for entry in server.log[-2:]] == [
        (LogKind.ACCOUNT_DATA, None, "a.b", b'{"at":"account"}'),
        (LogKind.ROOM_ACCOUNT_DATA, ROOM, "a.b", b'{"at":"room"}'),
    ]
    listed = await server.db.read(rows.list_after, ALICE, 0)
    assert [(row.room_id, row.type, row.content) for row in listed] == [
        (None, "a.b", b'{"at":"account"}'),
        (ROOM, "a.b", b'{"at":"room"}'),
    ]
    assert [row.position for row in listed] == [entry.position for entry in server.log[-2:]]
    assert await server.db.read(rows.list_after, ALICE, listed[0].position) == listed[1:]
    assert await server.db.read(rows.list_of_room, ALICE, None) == {"a.b": b'{"at":"account"}'}


@pytest.mark.parametrize("place", [GLOBAL, IN_ROOM])
@pytest.mark.parametrize("type_", ["m.fully_read", "m.push_rules"])
async def test_what_only_the_server_writes(server: AccountServer, place: str, type_: str) -> None:
    alice = await server.user("alice")
    answer = await alice.ask("PUT", f"{place}/{type_}", {"event_id": "$x"})
    assert (answer.status, answer.errcode) == (405, "M_BAD_JSON")


async def test_what_the_server_wrote_can_be_read(server: AccountServer) -> None:
    alice = await server.user("alice")
    assert "override" in (await alice.request("GET", f"{GLOBAL}/m.push_rules"))["global"]
    await server.db.run(account_data.save_in, ALICE, ROOM, "m.fully_read", {"event_id": "$x"})
    assert await alice.request("GET", f"{IN_ROOM}/m.fully_read") == {"event_id": "$x"}


@pytest.mark.parametrize("place", [GLOBAL, IN_ROOM])
@pytest.mark.parametrize(
    ("raw", "errcode"),
    [(b"[]", "M_BAD_JSON"), (b"7", "M_BAD_JSON"), (b"{", "M_NOT_JSON"), (b'{"a":1,"a":2}', "M_NOT_JSON")],
)
async def test_only_objects(server: AccountServer, place: str, raw: bytes, errcode: str) -> None:
    answer = await (await server.user("alice")).ask("PUT", f"{place}/a.b", raw=raw)
    assert (answer.status, answer.errcode) == (400, errcode)


async def test_bad_names(server: AccountServer) -> None:
    alice = await server.user("alice")
    for method in ("PUT", "GET"):
        for path in (
            f"{GLOBAL}/{'x' * 256}",
            f"{GLOBAL}/a%00",
            f"/user/{ALICE}/rooms/@notaroom:one.test/account_data/a.b",
            "/user/alice/account_data/a.b",
        ):
            answer = await alice.ask(method, path)
            assert (answer.status, answer.errcode) == (400, "M_INVALID_PARAM"), path


async def test_only_ones_own(server: AccountServer) -> None:
    bob = await server.user("bob")
    for path in (f"{GLOBAL}/a.b", f"{IN_ROOM}/a.b"):
        for method in ("PUT", "GET"):
            answer = await bob.ask(method, path)
            assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")
    for method, path in (("GET", TAGS), ("PUT", f"{TAGS}/u.x"), ("DELETE", f"{TAGS}/u.x")):
        answer = await bob.ask(method, path)
        assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")


class TestTags:
    async def test_a_room_is_tagged(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        assert await alice.request("GET", TAGS) == {"tags": {}}
        assert await alice.request("PUT", f"{TAGS}/m.favourite", {"order": 0.1}) == {}
        await alice.request("PUT", f"{TAGS}/u.Work", {"org.example": 1})
        tags = {"m.favourite": {"order": 0.1}, "u.Work": {"org.example": 1}}
        assert await alice.request("GET", TAGS) == {"tags": tags}
        assert await alice.request("GET", f"{IN_ROOM}/m.tag") == {"tags": tags}
        assert await alice.request("DELETE", f"{TAGS}/m.favourite") == {}
        assert await alice.request("GET", TAGS) == {"tags": {"u.Work": {"org.example": 1}}}
        assert [entry.ref for entry in server.log if entry.kind == LogKind.ROOM_ACCOUNT_DATA] == ["m.tag"] * 3
        assert await alice.request("DELETE", f"{TAGS}/m.favourite") == {}, "it is gone already"
        assert len([entry for entry in server.log if entry.kind == LogKind.ROOM_ACCOUNT_DATA]) == 3

    async def test_clients_may_write_anything_into_it(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        for content in ({}, {"tags": 7}):
            await alice.request("PUT", f"{IN_ROOM}/m.tag", content)
            assert await alice.request("GET", TAGS) == {"tags": {}}
            await alice.request("PUT", f"{TAGS}/u.x")
            assert await alice.request("GET", TAGS) == {"tags": {"u.x": {}}}

    @pytest.mark.parametrize(
        ("tag", "body"),
        [("x" * 256, {}), ("u.x", {"order": "first"}), ("u.x", {"order": True})],
    )
    async def test_bad_ones(self, server: AccountServer, tag: str, body: dict[str, Any]) -> None:
        answer = await (await server.user("alice")).ask("PUT", f"{TAGS}/{tag}", body)
        assert (answer.status, answer.errcode) == (400, "M_INVALID_PARAM")
