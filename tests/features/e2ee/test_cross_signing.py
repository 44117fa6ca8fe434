"""Cross-signing keys, and who has signed what."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.ids import UserID
from tests.features.e2ee.people import changed, publishes, queries, signs_up
from tests.features.e2ee.test_device_lists import together
from tests.harness.device_crypto import UserCrypto, corrupted
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

UPLOAD = "/keys/device_signing/upload"


async def vouches(user: User, signed: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Upload signatures; the failures."""
    answer = await user.request("POST", "/keys/signatures/upload", signed)
    failures: dict[str, Any] = answer["failures"]
    return failures


class TestKeys:
    async def test_the_first_keys_need_no_proof_and_are_found(self, alice: User, bob: User) -> None:
        keys = (await signs_up(alice)).keys()
        for asker in (alice, bob):
            answer = await queries(asker, alice)
            assert answer["master_keys"] == {alice.user_id: keys["master_key"]}
            assert answer["self_signing_keys"] == {alice.user_id: keys["self_signing_key"]}
        assert (await queries(alice, alice))["user_signing_keys"] == {alice.user_id: keys["user_signing_key"]}
        assert (await queries(bob, alice))["user_signing_keys"] == {}

    async def test_the_same_keys_again_need_none_either(self, alice: User) -> None:
        crypto = await signs_up(alice)
        await alice.request("POST", UPLOAD, crypto.keys())
        await alice.request("POST", UPLOAD, {"master_key": crypto.master_key()})
        await alice.request("POST", UPLOAD, {})

    async def test_other_keys_need_the_password(self, alice: User, bob: User) -> None:
        await together(alice, bob)
        old = await signs_up(alice)
        await bob.syncs()
        new = UserCrypto(alice.user_id, seed="new")
        for keys in (
            new.keys(),
            {"master_key": new.master_key()},
            {"self_signing_key": old.signed_by_master(new.keys()["self_signing_key"])},
        ):
            challenge = await alice.ask("POST", UPLOAD, keys)
            assert challenge.status == 401
            assert challenge.json["flows"] == [{"stages": ["m.login.password"]}]
        assert changed(await bob.syncs()) == set()
        await alice.confirms("POST", UPLOAD, new.keys())
        assert (await queries(bob, alice))["master_keys"] == {alice.user_id: new.master_key()}
        assert changed(await bob.syncs()) == {alice.user_id}

    async def test_a_new_master_key_alone_ends_the_others(self, alice: User) -> None:
        await signs_up(alice)
        new = UserCrypto(alice.user_id, seed="new")
        await alice.confirms("POST", UPLOAD, {"master_key": new.master_key()})
        answer = await queries(alice, alice)
        assert answer["master_keys"] == {alice.user_id: new.master_key()}
        assert answer["self_signing_keys"] == answer["user_signing_keys"] == {}

    async def test_a_reset_may_be_allowed_for_a_while(self, server: Server, alice: User) -> None:
        service = server.homeserver.services.e2ee.cross_signing
        assert await service.allow_reset(UserID(alice.user_id), 60_000) is None
        await signs_up(alice)
        assert await service.allow_reset(UserID(alice.user_id), 60_000) == server.clock.now_ms() + 60_000
        await alice.request("POST", UPLOAD, UserCrypto(alice.user_id, seed="2").keys())
        assert (await alice.ask("POST", UPLOAD, UserCrypto(alice.user_id, seed="3").keys())).status == 401
        await service.allow_reset(UserID(alice.user_id), 60_000)
        await server.passes(61)
        assert (await alice.ask("POST", UPLOAD, UserCrypto(alice.user_id, seed="3").keys())).status == 401

    async def test_keys_that_are_signed_wrongly(self, alice: User) -> None:
        keys = UserCrypto(alice.user_id).keys()
        other = UserCrypto(alice.user_id, seed="other").keys()
        for name in ("self_signing_key", "user_signing_key"):
            for wrong in (corrupted(keys[name]), other[name]):
                with refused("M_INVALID_SIGNATURE", 400):
                    await alice.request("POST", UPLOAD, {**keys, name: wrong})
        with refused("M_MISSING_PARAM", 400):
            await alice.request("POST", UPLOAD, {"self_signing_key": keys["self_signing_key"]})
        assert (await queries(alice, alice))["master_keys"] == {}

    @pytest.mark.parametrize(
        "change",
        [
            {"user_id": "@bob:one.test"},
            {"usage": ["self_signing"]},
            {"usage": "master"},
            {"keys": {}},
            {"keys": {"ed25519:a": "a", "ed25519:b": "b"}},
            {"keys": {"ed25519:AAAA": "AAAA"}},
            {"keys": {"rsa:AAAA": "AAAA"}},
            {"keys": ["ed25519:AAAA"]},
            {"number": 1.5},
        ],
    )
    async def test_keys_that_are_none(self, alice: User, change: dict[str, Any]) -> None:
        with refused("M_INVALID_PARAM", 400):
            await alice.request(
                "POST", UPLOAD, {"master_key": {**UserCrypto(alice.user_id).master_key(), **change}}
            )

    async def test_no_key_has_the_name_of_a_device(self, server: Server, alice: User) -> None:
        crypto = UserCrypto(alice.user_id)
        await server.logs_in(alice, device_id=crypto.master_name)
        with refused("M_FORBIDDEN", 403):
            await alice.request("POST", UPLOAD, crypto.keys())

    async def test_no_device_has_the_name_of_a_key(self, server: Server, alice: User) -> None:
        crypto = await signs_up(alice)
        with refused("M_FORBIDDEN", 403):
            await server.logs_in(alice, device_id=crypto.master_name)

    async def test_they_go_with_the_account(self, alice: User, bob: User) -> None:
        await publishes(alice)
        await signs_up(alice)
        await alice.confirms("POST", "/account/deactivate", {"erase": True})
        answer = await queries(bob, alice)
        assert answer["device_keys"] == {alice.user_id: {}}
        assert answer["master_keys"] == answer["self_signing_keys"] == {}


class TestSignatures:
    async def test_a_device_is_vouched_for(self, alice: User, bob: User) -> None:
        await together(alice, bob)
        crypto = await signs_up(alice)
        device = await publishes(alice)
        await bob.syncs()
        vouched = crypto.vouch_for_device(device.device_keys())
        for _ in range(2):
            assert await vouches(alice, {alice.user_id: {alice.device_id: vouched}}) == {}
        shown = (await queries(bob, alice))["device_keys"][alice.user_id][alice.device_id]
        expected = {
            **device.device_keys()["signatures"][alice.user_id],
            **vouched["signatures"][alice.user_id],
        }
        assert shown["signatures"] == {alice.user_id: expected}
        assert changed(await bob.syncs()) == {alice.user_id}
        assert changed(await bob.syncs()) == set()

    async def test_the_master_key_is_signed_by_a_device(self, alice: User, bob: User) -> None:
        crypto = await signs_up(alice)
        device = await publishes(alice)
        signed = device.sign(crypto.master_key())
        assert await vouches(alice, {alice.user_id: {crypto.master_name: signed}}) == {}
        shown = (await queries(bob, alice))["master_keys"][alice.user_id]
        assert shown["signatures"] == signed["signatures"]

    async def test_what_one_signs_of_another_only_oneself_sees(
        self, server: Server, alice: User, bob: User, carol: User
    ) -> None:
        await together(alice, bob, carol)
        own, theirs = await signs_up(alice), await signs_up(bob)
        phone = await server.logs_in(alice)
        for person in (alice, phone, bob, carol):
            await person.syncs()
        vouched = own.vouch_for_user(theirs.master_key())
        assert await vouches(alice, {bob.user_id: {theirs.master_name: vouched}}) == {}
        for asker in (alice, phone):
            answer = await queries(asker, bob)
            assert answer["master_keys"][bob.user_id]["signatures"] == vouched["signatures"]
            assert changed(await asker.syncs()) == {bob.user_id}
        for asker in (bob, carol):
            assert (await queries(asker, bob))["master_keys"][bob.user_id] == theirs.master_key()
            assert changed(await asker.syncs()) == set()
        # It goes with the key that made it.
        await alice.confirms("POST", UPLOAD, UserCrypto(alice.user_id, seed="new").keys())
        assert (await queries(alice, bob))["master_keys"][bob.user_id] == theirs.master_key()

    async def test_each_failure_is_told_and_spoils_nothing(self, alice: User, bob: User, carol: User) -> None:
        own, theirs = await signs_up(alice), await signs_up(bob)
        device = await publishes(alice)
        good = own.vouch_for_device(device.device_keys())
        master = own.vouch_for_user(theirs.master_key())
        failures = await vouches(
            alice,
            {
                alice.user_id: {
                    alice.device_id: good,
                    "NONE": good,
                    own.master_name: corrupted(device.sign(own.master_key())),
                },
                bob.user_id: {theirs.master_name: corrupted(master), "NONE": master},
                carol.user_id: {"NONE": master},
            },
        )
        codes = {user: {name: one["errcode"] for name, one in of.items()} for user, of in failures.items()}
        assert codes == {
            alice.user_id: {"NONE": "M_NOT_FOUND", own.master_name: "M_INVALID_SIGNATURE"},
            bob.user_id: {theirs.master_name: "M_INVALID_SIGNATURE", "NONE": "M_NOT_FOUND"},
            carol.user_id: {"NONE": "M_NOT_FOUND"},
        }
        shown = (await queries(bob, alice))["device_keys"][alice.user_id][alice.device_id]
        assert len(shown["signatures"][alice.user_id]) == 2

    async def test_only_what_was_uploaded_can_be_signed(self, alice: User) -> None:
        crypto = await signs_up(alice)
        device = await publishes(alice)
        changed_keys = crypto.vouch_for_device(device.device_keys(more="than there was"))
        failures = await vouches(alice, {alice.user_id: {alice.device_id: changed_keys}})
        assert failures[alice.user_id][alice.device_id]["errcode"] == "M_INVALID_PARAM"

    async def test_without_keys_nothing_is_signed(self, alice: User, bob: User) -> None:
        theirs = await signs_up(bob)
        device = await publishes(alice)
        nobody = UserCrypto(alice.user_id)
        failures = await vouches(
            alice,
            {
                alice.user_id: {alice.device_id: nobody.vouch_for_device(device.device_keys())},
                bob.user_id: {theirs.master_name: nobody.vouch_for_user(theirs.master_key())},
            },
        )
        assert {one["errcode"] for of in failures.values() for one in of.values()} == {"M_INVALID_SIGNATURE"}

    @pytest.mark.parametrize("signed", [{"@a:b": []}, {"@a:b": {"D": "text"}}, {"@a:b": None}])
    async def test_bodies_that_make_no_sense(self, alice: User, signed: Any) -> None:
        with refused("M_BAD_JSON", 400):
            await vouches(alice, signed)
