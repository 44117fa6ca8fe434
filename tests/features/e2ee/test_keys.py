"""Publishing keys, finding them and claiming them."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults

from homeserver.runtime.random import SeededRandomness
from tests.features.e2ee.people import claims, crypto_of, publishes, queries
from tests.harness.device_crypto import OTK, DeviceCrypto, corrupted
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User


class TestPublishing:
    async def test_what_is_published_is_found_as_it_was(self, alice: User, bob: User) -> None:
        crypto = await publishes(alice)
        answer = await queries(bob, alice)
        assert answer["device_keys"] == {alice.user_id: {alice.device_id: crypto.device_keys()}}
        assert answer["failures"] == {}
        await publishes(alice)
        assert await queries(bob, alice) == answer

    async def test_a_name_is_told_beside_the_keys(self, alice: User, bob: User) -> None:
        await publishes(alice)
        await alice.request("PUT", f"/devices/{alice.device_id}", {"display_name": 'Al"ice'})
        device = (await queries(bob, alice))["device_keys"][alice.user_id][alice.device_id]
        assert device["unsigned"] == {"device_display_name": 'Al"ice'}
        await alice.request("PUT", f"/devices/{alice.device_id}", {"display_name": "Phone"})
        device = (await queries(bob, alice))["device_keys"][alice.user_id][alice.device_id]
        assert device["unsigned"] == {"device_display_name": "Phone"}

    async def test_some_devices_only(self, server: Server, alice: User, bob: User) -> None:
        await publishes(alice)
        phone = await server.logs_in(alice)
        await publishes(phone)
        both = await queries(bob, alice)
        assert set(both["device_keys"][alice.user_id]) == {alice.device_id, phone.device_id}
        wanted = {"device_keys": {alice.user_id: [phone.device_id, "NONE"]}}
        one = await bob.request("POST", "/keys/query", wanted)
        assert set(one["device_keys"][alice.user_id]) == {phone.device_id}

    async def test_nobody_has_no_devices(self, bob: User) -> None:
        answer = await queries(bob, "@nobody:one.test", bob)
        assert answer["device_keys"] == {"@nobody:one.test": {}, bob.user_id: {}}

    async def test_a_device_that_logs_out_is_found_no_more(
        self, server: Server, alice: User, bob: User
    ) -> None:
        phone = await server.logs_in(alice)
        await publishes(phone, one_time_keys=5, fallback=True)
        assert set((await queries(bob, alice))["device_keys"][alice.user_id]) == {phone.device_id}
        await phone.logs_out()
        assert (await queries(bob, alice))["device_keys"] == {alice.user_id: {}}
        assert await claims(bob, phone) == {}

    async def test_one_key_one_name(self, alice: User) -> None:
        crypto = await publishes(alice)
        keys = crypto.one_time_keys(2)
        for _ in range(2):
            answer = await alice.request("POST", "/keys/upload", {"one_time_keys": keys})
            assert answer["one_time_key_counts"] == {OTK: 2}
        name = next(iter(keys))
        with refused("M_UNKNOWN", 400) as refusal:
            await alice.request("POST", "/keys/upload", {"one_time_keys": {name: crypto.one_time_key()}})
        assert refusal.error.startswith(f"One time key {name} already exists")
        assert await claims(alice, alice) == {alice.device_id: name}

    async def test_another_identity_leaves_the_old_keys_behind(self, alice: User, bob: User) -> None:
        await publishes(alice, one_time_keys=3, fallback=True)
        renewed = DeviceCrypto(alice.user_id, alice.device_id, SeededRandomness("renewed"))
        answer = await alice.request("POST", "/keys/upload", {"device_keys": renewed.device_keys()})
        assert answer["one_time_key_counts"] == {}
        assert await claims(bob, alice) == {}

    async def test_an_empty_upload_tells_the_counts(self, alice: User) -> None:
        await publishes(alice, one_time_keys=7)
        assert await alice.request("POST", "/keys/upload", {}) == {"one_time_key_counts": {OTK: 7}}


def _without(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key != name}


class TestRefusals:
    async def test_keys_of_somebody_else(self, alice: User, bob: User) -> None:
        with refused("M_INVALID_PARAM", 400):
            await alice.request("POST", "/keys/upload", {"device_keys": crypto_of(bob).device_keys()})
        other = DeviceCrypto(alice.user_id, "OTHER")
        with refused("M_INVALID_PARAM", 400):
            await alice.request("POST", "/keys/upload", {"device_keys": other.device_keys()})
        mixed = crypto_of(alice).device_keys(keys={**other.device_keys()["keys"]})
        with refused("M_INVALID_PARAM", 400):
            await alice.request("POST", "/keys/upload", {"device_keys": mixed})
        assert (await queries(bob, alice))["device_keys"] == {alice.user_id: {}}

    @pytest.mark.parametrize("name", ["user_id", "device_id", "algorithms", "keys"])
    async def test_something_is_missing(self, alice: User, name: str) -> None:
        keys = _without(crypto_of(alice).device_keys(), name)
        with refused("M_MISSING_PARAM", 400):
            await alice.request("POST", "/keys/upload", {"device_keys": keys})

    async def test_keys_that_are_signed_wrongly(self, alice: User, bob: User) -> None:
        crypto = crypto_of(alice)
        keys = crypto.device_keys()
        for wrong in (corrupted(keys), _without(keys, "signatures"), {**keys, "algorithms": ["other"]}):
            with refused("M_INVALID_PARAM", 400):
                await alice.request("POST", "/keys/upload", {"device_keys": wrong})
        assert (await queries(bob, alice))["device_keys"] == {alice.user_id: {}}
        await publishes(alice)
        key = crypto.one_time_key()
        for wrong in (corrupted(key), _without(key, "signatures"), {**key, "more": "than was signed"}):
            for field in ("one_time_keys", "fallback_keys"):
                with refused("M_INVALID_PARAM", 400):
                    await alice.request("POST", "/keys/upload", {field: {f"{OTK}:AAAA": wrong}})
        assert (await alice.request("POST", "/keys/upload", {}))["one_time_key_counts"] == {}

    @pytest.mark.parametrize(
        "name", ["AAAA", "signed_curve25519:", ":AAAA", "no_such_algorithm:AAAA", "x" * 300 + ":A"]
    )
    async def test_names_that_are_none(self, alice: User, name: str) -> None:
        crypto = await publishes(alice)
        with refused("M_INVALID_PARAM", 400):
            await alice.request("POST", "/keys/upload", {"one_time_keys": {name: crypto.one_time_key()}})

    @pytest.mark.parametrize("key", ["text", 7, None, [], {}, {"key": "short"}, {"key": 1.5}])
    async def test_keys_that_are_none(self, alice: User, key: Any) -> None:
        await publishes(alice)
        with refused("M_INVALID_PARAM", 400):
            await alice.request("POST", "/keys/upload", {"one_time_keys": {f"{OTK}:AAAA": key}})

    async def test_all_or_nothing(self, alice: User) -> None:
        crypto = await publishes(alice)
        keys = crypto.one_time_keys(3)
        bad = {**keys, f"{OTK}:BAD": corrupted(crypto.one_time_key())}
        with refused("M_INVALID_PARAM", 400):
            await alice.request("POST", "/keys/upload", {"one_time_keys": bad})
        assert await alice.request("POST", "/keys/upload", {}) == {"one_time_key_counts": {}}

    async def test_two_fallback_keys_at_once(self, alice: User) -> None:
        crypto = await publishes(alice)
        with refused("M_INVALID_PARAM", 400):
            two = crypto.fallback_key() | crypto.fallback_key()
            await alice.request("POST", "/keys/upload", {"fallback_keys": two})

    async def test_queries_that_make_no_sense(self, alice: User) -> None:
        bodies: list[dict[str, Any]] = [{}, {"device_keys": []}, {"device_keys": {"@alice:one.test": "all"}}]
        for body in bodies:
            with refused("M_BAD_JSON", 400):
                await alice.request("POST", "/keys/query", body)
        for path, field in (("/keys/query", "device_keys"), ("/keys/claim", "one_time_keys")):
            value: Any = [] if field == "device_keys" else {}
            with refused("M_INVALID_PARAM", 400):
                await alice.request("POST", path, {field: {"alice": value}})
        with refused("M_MISSING_PARAM", 400):
            await alice.request("GET", "/keys/changes", query={"from": "s1_0"})
        with refused("M_INVALID_PARAM", 400):
            await alice.request("GET", "/keys/changes", query={"from": "s1_0", "to": "yesterday"})


class TestClaiming:
    async def test_the_oldest_key_comes_first(self, alice: User, bob: User) -> None:
        crypto = await publishes(alice)
        uploads = []
        for _ in range(3):
            keys = crypto.one_time_keys(2)
            await alice.request("POST", "/keys/upload", {"one_time_keys": keys})
            uploads.append(set(keys))
        given = [(await claims(bob, alice))[alice.device_id] for _ in range(6)]
        assert [set(given[:2]), set(given[2:4]), set(given[4:])] == uploads
        assert await claims(bob, alice) == {}

    async def test_a_key_is_given_as_it_was_published(self, alice: User, bob: User) -> None:
        crypto = await publishes(alice)
        keys = crypto.one_time_keys(1)
        await alice.request("POST", "/keys/upload", {"one_time_keys": keys})
        wanted = {alice.user_id: {alice.device_id: OTK}}
        answer = await bob.request("POST", "/keys/claim", {"one_time_keys": wanted})
        assert answer["one_time_keys"] == {alice.user_id: {alice.device_id: keys}}

    async def test_several_devices_at_once(self, server: Server, alice: User, bob: User) -> None:
        phone = await server.logs_in(alice)
        for device in (alice, phone, bob):
            await publishes(device, one_time_keys=1)
        given = await claims(bob, alice, phone, bob)
        assert set(given) == {alice.device_id, phone.device_id, bob.device_id}

    async def test_the_fallback_key_comes_last_and_stays(self, alice: User, bob: User) -> None:
        crypto = await publishes(alice, one_time_keys=1, fallback=True)
        answer = await alice.syncs()
        assert answer["device_one_time_keys_count"] == {OTK: 1}
        assert answer["device_unused_fallback_key_types"] == [OTK]
        given = [(await claims(bob, alice))[alice.device_id] for _ in range(3)]
        assert given[0] == f"{OTK}:k000001"
        assert given[1] == given[2] == f"{OTK}:f000002"
        answer = await alice.syncs()
        assert answer["device_one_time_keys_count"] == {OTK: 0}
        assert answer["device_unused_fallback_key_types"] == []
        fresh = crypto.fallback_key()
        await alice.request("POST", "/keys/upload", {"fallback_keys": fresh})
        assert (await alice.syncs())["device_unused_fallback_key_types"] == [OTK]
        assert (await claims(bob, alice))[alice.device_id] == next(iter(fresh))
        # Published again, it is not unused again.
        await alice.request("POST", "/keys/upload", {"fallback_keys": fresh})
        assert (await alice.syncs())["device_unused_fallback_key_types"] == []

    async def test_counts_are_told_in_every_answer(self, server: Server, alice: User) -> None:
        await publishes(alice, one_time_keys=4)
        for _ in range(2):
            assert (await alice.syncs())["device_one_time_keys_count"] == {OTK: 4}
        assert (await alice.syncs(timeout_ms=500))["device_one_time_keys_count"] == {OTK: 4}
        await server.restarts()
        for _ in range(2):
            assert (await alice.syncs())["device_one_time_keys_count"] == {OTK: 4}

    async def test_an_unknown_algorithm_has_no_keys(self, alice: User, bob: User) -> None:
        await publishes(alice, one_time_keys=1)
        assert await claims(bob, alice, algorithm="other") == {}

    async def test_an_upload_that_is_repeated_brings_no_key_back(self, alice: User, bob: User) -> None:
        crypto = await publishes(alice)
        keys = crypto.one_time_keys(2)
        await alice.request("POST", "/keys/upload", {"one_time_keys": keys})
        first = await claims(bob, alice)
        # The answer to the upload was lost: the client does it again.
        answer = await alice.request("POST", "/keys/upload", {"one_time_keys": keys})
        assert answer["one_time_key_counts"] == {OTK: 1}
        assert await claims(bob, alice) != first
        assert await claims(bob, alice) == {}

    async def test_everybody_gets_another_key(self, server: Server, alice: User, bob: User) -> None:
        await publishes(alice, one_time_keys=30)
        claiming = [Deferred.fromCoroutine(claims(asker, alice)) for _ in range(20) for asker in (alice, bob)]
        given = [one[alice.device_id] for one in await gatherResults(claiming) if one]
        assert len(given) == len(set(given)) == 30
        await server.restarts()
        assert await claims(bob, alice) == {}
