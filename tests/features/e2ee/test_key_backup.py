"""Backups of room keys."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.client import segment
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2"
AUTH = {"public_key": "abcdefg"}
ROOM, OTHER = "!room:one.test", "!other:one.test"


async def begins(user: User, **auth_data: Any) -> str:
    """Begin a version."""
    body = {"algorithm": ALGORITHM, "auth_data": AUTH | auth_data}
    version: str = (await user.request("POST", "/room_keys/version", body))["version"]
    return version


def key(
    *, index: int = 1, forwarded: int = 0, verified: bool = False, text: str = "sealed"
) -> dict[str, Any]:
    return {
        "first_message_index": index,
        "forwarded_count": forwarded,
        "is_verified": verified,
        "session_data": {"ciphertext": text, "mac": "m", "ephemeral": "e"},
    }


async def stores(user: User, version: str, path: str, body: dict[str, Any]) -> tuple[int, str]:
    """Store keys; the count and the etag afterwards."""
    answer = await user.request("PUT", f"/room_keys/keys{path}", body, query={"version": version})
    return answer["count"], answer["etag"]


async def fetches(user: User, version: str, path: str = "") -> dict[str, Any]:
    return await user.request("GET", f"/room_keys/keys{path}", query={"version": version})


async def info(user: User, version: str | None = None) -> dict[str, Any]:
    return await user.request("GET", "/room_keys/version" + (f"/{version}" if version else ""))


class TestVersions:
    async def test_the_newest_is_current(self, alice: User) -> None:
        with refused("M_NOT_FOUND", 404):
            await info(alice)
        first = await begins(alice)
        expected = {"algorithm": ALGORITHM, "auth_data": AUTH, "count": 0, "etag": "0", "version": first}
        assert await info(alice) == await info(alice, first) == expected
        second = await begins(alice, more="data")
        assert second != first
        assert (await info(alice))["version"] == second
        assert await info(alice, first) == expected

    async def test_deleted_ones_are_gone_and_not_numbered_again(self, alice: User) -> None:
        first, second = await begins(alice), await begins(alice)
        await stores(alice, second, f"/{ROOM}/s", key())
        for _ in range(2):
            await alice.request("DELETE", f"/room_keys/version/{second}")
        for ask in (info(alice, second), fetches(alice, second)):
            with refused("M_NOT_FOUND", 404):
                await ask
        assert (await info(alice))["version"] == first
        await alice.request("DELETE", f"/room_keys/version/{first}")
        with refused("M_NOT_FOUND", 404):
            await info(alice)
        assert await begins(alice) not in (first, second)

    async def test_its_data_may_be_changed(self, alice: User) -> None:
        version = await begins(alice)
        path = f"/room_keys/version/{version}"
        await alice.request("PUT", path, {"algorithm": ALGORITHM, "auth_data": {"public_key": "new"}})
        body = {"algorithm": ALGORITHM, "auth_data": {"public_key": "newer"}, "version": version}
        await alice.request("PUT", path, body)
        assert (await info(alice))["auth_data"] == {"public_key": "newer"}
        with refused("M_INVALID_PARAM", 400):
            await alice.request("PUT", path, {**body, "algorithm": "other"})
        with refused("M_INVALID_PARAM", 400):
            await alice.request("PUT", path, {**body, "version": "other"})
        assert (await info(alice))["auth_data"] == {"public_key": "newer"}

    @pytest.mark.parametrize("version", ["7", "0", "-1", "one", "9" * 40, "²"])
    async def test_what_never_was(self, alice: User, version: str) -> None:
        await begins(alice)
        body = {"algorithm": ALGORITHM, "auth_data": AUTH}
        for method, json in (("GET", None), ("PUT", body), ("DELETE", None)):
            with refused("M_NOT_FOUND", 404):
                await alice.request(method, f"/room_keys/version/{segment(version)}", json)
        with refused("M_NOT_FOUND", 404):
            await fetches(alice, version)

    async def test_backups_are_their_owners(self, alice: User, bob: User) -> None:
        version = await begins(alice)
        await stores(alice, version, f"/{ROOM}/s", key())
        with refused("M_NOT_FOUND", 404):
            await info(bob, version)
        with refused("M_NOT_FOUND", 404):
            await fetches(bob, version)
        with refused("M_NOT_FOUND", 404):
            await stores(bob, version, f"/{ROOM}/s", key())

    async def test_they_end_with_the_account(self, server: Server, alice: User) -> None:
        await begins(alice)
        await alice.confirms("POST", "/account/deactivate")
        db = server.homeserver.surroundings.database
        assert await db.read(lambda txn: txn.value("SELECT COUNT(*) FROM key_backups")) == 0


class TestKeys:
    async def test_three_ways_to_store_and_three_to_fetch(self, alice: User) -> None:
        version = await begins(alice)
        count, etag = await stores(alice, version, f"/{ROOM}/s1", key(text="1"))
        assert count == 1
        count, later = await stores(alice, version, f"/{ROOM}", {"sessions": {"s2": key(text="2")}})
        assert count == 2
        assert later != etag
        body = {
            "rooms": {ROOM: {"sessions": {"s3": key(text="3")}}, OTHER: {"sessions": {"s1": key(text="4")}}}
        }
        assert (await stores(alice, version, "", body))[0] == 4
        of_room = {f"s{n}": key(text=str(n)) for n in (1, 2, 3)}
        assert await fetches(alice, version, f"/{ROOM}/s1") == key(text="1")
        assert await fetches(alice, version, f"/{ROOM}") == {"sessions": of_room}
        everything = {ROOM: {"sessions": of_room}, OTHER: {"sessions": {"s1": key(text="4")}}}
        assert await fetches(alice, version) == {"rooms": everything}
        assert (await info(alice))["count"] == 4

    async def test_what_is_not_there(self, alice: User) -> None:
        version = await begins(alice)
        assert await fetches(alice, version) == {"rooms": {}}
        assert await fetches(alice, version, f"/{ROOM}") == {"sessions": {}}
        with refused("M_NOT_FOUND", 404):
            await fetches(alice, version, f"/{ROOM}/none")
        with refused("M_MISSING_PARAM", 400):
            await alice.request("GET", "/room_keys/keys")

    @pytest.mark.parametrize(
        ("old", "new", "is_replaced"),
        [
            (key(), key(verified=True, index=9, forwarded=9), True),
            (key(verified=True, index=9, forwarded=9), key(index=0), False),
            (key(index=2), key(index=1, forwarded=9), True),
            (key(index=1, forwarded=9), key(index=2), False),
            (key(forwarded=2), key(forwarded=1), True),
            (key(forwarded=1), key(forwarded=2), False),
            (key(), key(text="other"), False),
        ],
    )
    async def test_the_better_key_stays(
        self, alice: User, old: dict[str, Any], new: dict[str, Any], is_replaced: bool
    ) -> None:
        version = await begins(alice)
        count, etag = await stores(alice, version, f"/{ROOM}/s", old)
        later = await stores(alice, version, f"/{ROOM}/s", new)
        assert await fetches(alice, version, f"/{ROOM}/s") == (new if is_replaced else old)
        assert later[0] == count == 1
        assert (later[1] != etag) is is_replaced

    async def test_only_the_current_version_takes_keys(self, alice: User) -> None:
        old, current = await begins(alice), await begins(alice)
        for path, body in (
            (f"/{ROOM}/s", key()),
            (f"/{ROOM}", {"sessions": {"s": key()}}),
            ("", {"rooms": {ROOM: {"sessions": {"s": key()}}}}),
        ):
            for version in (old, "77"):
                with refused("M_WRONG_ROOM_KEYS_VERSION", 403) as refusal:
                    await stores(alice, version, path, body)
                assert refusal.body["current_version"] == current
        assert (await info(alice))["count"] == (await info(alice, old))["count"] == 0

    async def test_without_a_backup_there_is_nowhere_to_store(self, alice: User) -> None:
        with refused("M_NOT_FOUND", 404):
            await stores(alice, "1", f"/{ROOM}/s", key())

    async def test_deleting(self, alice: User) -> None:
        version = await begins(alice)
        sessions = {f"s{n}": key() for n in range(3)}
        body = {"rooms": {ROOM: {"sessions": sessions}, OTHER: {"sessions": sessions}}}
        _, etag = await stores(alice, version, "", body)

        async def deletes(path: str) -> tuple[int, str]:
            answer = await alice.request("DELETE", f"/room_keys/keys{path}", query={"version": version})
            return answer["count"], answer["etag"]

        count, after_one = await deletes(f"/{ROOM}/s0")
        assert count == 5
        assert after_one != etag
        assert await deletes(f"/{ROOM}/s0") == (5, after_one)
        assert (await deletes(f"/{ROOM}"))[0] == 3
        assert (await deletes(""))[0] == 0
        assert await fetches(alice, version) == {"rooms": {}}

    async def test_many_at_once(self, alice: User) -> None:
        version = await begins(alice)
        rooms = {
            f"!r{room}:one.test": {"sessions": {f"s{n}": key() for n in range(600)}} for room in range(2)
        }
        assert (await stores(alice, version, "", {"rooms": rooms}))[0] == 1200
        assert (await stores(alice, version, "", {"rooms": rooms}))[0] == 1200
        assert await fetches(alice, version) == {"rooms": rooms}

    @pytest.mark.parametrize(
        "change",
        [
            {"first_message_index": "1"},
            {"first_message_index": -1},
            {"forwarded_count": 1.5},
            {"is_verified": "yes"},
            {"session_data": "text"},
            {"session_data": None},
        ],
    )
    async def test_keys_that_are_none(self, alice: User, change: dict[str, Any]) -> None:
        version = await begins(alice)
        with refused("M_BAD_JSON", 400):
            await stores(alice, version, f"/{ROOM}/s", {**key(), **change})
        assert (await info(alice))["count"] == 0

    async def test_what_is_too_large(self, alice: User) -> None:
        version = await begins(alice)
        with refused("M_INVALID_PARAM", 400):
            await stores(alice, version, f"/{ROOM}/s", key(text="x" * 70_000))
        with refused("M_INVALID_PARAM", 400):
            await begins(alice, more="x" * 70_000)
        with refused("M_INVALID_PARAM", 400):
            await stores(alice, version, f"/{ROOM}", {"sessions": {"s" * 300: key()}})
