"""Whose keys changed, and who has come or gone: in `/sync` and in `/keys/changes`."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from tests.features.e2ee.people import changed, left, publishes, signs_up
from tests.harness.server import Server
from tests.harness.user import User


async def together(*people: User) -> str:
    """A room that all of them are in, and that all have heard of."""
    first, *others = people
    room = await first.creates_room(inviting=others)
    for other in others:
        await other.joins(room)
    for person in people:
        await person.syncs()
    return room


class TestChanged:
    async def test_those_who_share_a_room_hear_of_new_keys(self, alice: User, bob: User, carol: User) -> None:
        await together(alice, bob)
        await carol.syncs()
        await publishes(bob)
        assert changed(await alice.syncs()) == {bob.user_id}
        assert changed(await bob.syncs()) == {bob.user_id}
        answer = await carol.syncs()
        assert "device_lists" not in answer
        assert changed(await alice.syncs()) == set()

    async def test_a_waiting_poll_is_answered(self, alice: User, bob: User) -> None:
        await together(alice, bob)
        alice.client.changed_devices.clear()
        waiting = Deferred.fromCoroutine(
            alice.waits_until(
                lambda client: bob.user_id in client.changed_devices, "bob's keys", within_ms=900
            )
        )
        await publishes(bob)
        await waiting

    async def test_keys_that_do_not_change_are_no_news(self, alice: User, bob: User) -> None:
        await together(alice, bob)
        crypto = await publishes(bob)
        await alice.syncs()
        await publishes(bob)
        await bob.request("POST", "/keys/upload", {"one_time_keys": crypto.one_time_keys(5)})
        assert changed(await alice.syncs()) == set()

    async def test_a_device_without_keys_is_nobodys_business(
        self, server: Server, alice: User, bob: User
    ) -> None:
        await together(alice, bob)
        phone = await server.logs_in(bob)
        await phone.request("PUT", f"/devices/{phone.device_id}", {"display_name": "Phone"})
        assert changed(await alice.syncs()) == set()
        await publishes(phone)
        assert changed(await alice.syncs()) == {bob.user_id}
        await phone.request("PUT", f"/devices/{phone.device_id}", {"display_name": "Tablet"})
        assert changed(await alice.syncs()) == {bob.user_id}
        await phone.logs_out()
        assert changed(await alice.syncs()) == {bob.user_id}

    async def test_cross_signing_keys(self, alice: User, bob: User, carol: User) -> None:
        await together(alice, bob)
        await carol.syncs()
        await signs_up(bob)
        assert changed(await alice.syncs()) == {bob.user_id}
        assert changed(await carol.syncs()) == set()

    async def test_nothing_of_it_in_a_first_sync(self, alice: User, bob: User) -> None:
        await together(alice, bob)
        await publishes(bob)
        assert "device_lists" not in await alice.request("GET", "/sync")

    async def test_it_is_still_known_after_a_restart(self, server: Server, alice: User, bob: User) -> None:
        await together(alice, bob)
        await publishes(bob)
        await server.restarts()
        assert changed(await alice.syncs()) == {bob.user_id}


class TestCircles:
    @pytest.mark.parametrize("restarts", [False, True])
    async def test_coming_together(self, server: Server, alice: User, bob: User, restarts: bool) -> None:
        for person in (alice, bob):
            await publishes(person)
            await person.syncs()
        room = await alice.creates_room(inviting=bob)
        await alice.syncs()
        await bob.joins(room)
        if restarts:
            await server.restarts()
        answer = await alice.syncs()
        assert (changed(answer), left(answer)) == ({bob.user_id}, set())
        answer = await bob.syncs()
        assert (changed(answer), left(answer)) == ({alice.user_id}, set())
        for person in (alice, bob):
            assert "device_lists" not in await person.syncs()

    async def test_a_second_room_changes_nothing(self, alice: User, bob: User) -> None:
        await together(alice, bob)
        room = await alice.creates_room(inviting=bob)
        await bob.joins(room)
        for person in (alice, bob):
            assert "device_lists" not in await person.syncs()
        await bob.leaves(room)
        for person in (alice, bob):
            assert "device_lists" not in await person.syncs()

    @pytest.mark.parametrize("restarts", [False, True])
    async def test_parting(self, server: Server, alice: User, bob: User, carol: User, restarts: bool) -> None:
        room = await together(alice, bob, carol)
        other = await together(alice, carol)
        await bob.leaves(room)
        if restarts:
            await server.restarts()
        for person in (alice, carol):
            answer = await person.syncs()
            assert (changed(answer), left(answer)) == (set(), {bob.user_id})
        answer = await bob.syncs()
        assert (changed(answer), left(answer)) == (set(), {alice.user_id, carol.user_id})
        await alice.kicks(other, carol)
        await alice.syncs()
        # They still share the first room.
        assert left(await carol.syncs()) == set()

    async def test_invitations_are_no_company(self, alice: User, bob: User) -> None:
        await alice.syncs()
        await bob.syncs()
        room = await alice.creates_room(inviting=bob)
        assert "device_lists" not in await alice.syncs()
        await bob.leaves(room)
        for person in (alice, bob):
            assert "device_lists" not in await person.syncs()

    async def test_going_and_coming_back_between_two_looks(self, alice: User, bob: User) -> None:
        room = await together(alice, bob)
        await bob.leaves(room)
        await alice.invites(room, bob)
        await bob.joins(room)
        assert left(await alice.syncs()) == set()
        assert left(await bob.syncs()) == set()

    async def test_keys_that_changed_meanwhile(self, alice: User, bob: User) -> None:
        room = await together(alice, bob)
        await bob.leaves(room)
        await alice.syncs()
        await publishes(bob)
        assert changed(await alice.syncs()) == set()
        await alice.invites(room, bob)
        await bob.joins(room)
        assert changed(await alice.syncs()) == {bob.user_id}

    async def test_a_change_of_name_is_no_arrival(self, alice: User, bob: User) -> None:
        await together(alice, bob)
        await bob.sets_profile("displayname", "Robert")
        assert "device_lists" not in await alice.syncs()

    async def test_whoever_was_out_of_sight_is_asked_for_anew(
        self, server: Server, alice: User, bob: User
    ) -> None:
        room = await together(alice, bob)
        await alice.syncs()
        await bob.leaves(room)
        await alice.invites(room, bob)
        await bob.joins(room)
        assert (await alice.syncs())["device_lists"]["changed"] == [bob.user_id]
        assert "device_lists" not in await alice.syncs()


class TestChangesBetween:
    async def test_the_same_as_sync_would_have_told(
        self, server: Server, alice: User, bob: User, carol: User
    ) -> None:
        room = await together(alice, bob)
        places = [str(alice.client.since)]

        async def after(what: str) -> None:
            await alice.syncs()
            places.append(str(alice.client.since))

        await publishes(bob)
        await after("bob has keys")
        await alice.invites(room, carol)
        await carol.joins(room)
        await after("carol has come")
        await bob.leaves(room)
        await after("bob has gone")
        await publishes(carol)
        await after("carol has keys")

        async def changes(first: int, last: int) -> tuple[set[str], set[str]]:
            query = {"from": places[first], "to": places[last]}
            answer = await alice.request("GET", "/keys/changes", query=query)
            return set(answer["changed"]), set(answer["left"])

        for _ in range(2):
            assert await changes(1, 2) == ({carol.user_id}, set())
            assert await changes(2, 3) == (set(), {bob.user_id})
            assert await changes(3, 4) == ({carol.user_id}, set())
            assert await changes(1, 4) == ({carol.user_id}, {bob.user_id})
            assert await changes(2, 2) == (set(), set())
            await server.restarts()
