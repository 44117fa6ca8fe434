"""Passwords and the end of accounts, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from homeserver.app.users import UserParts
from homeserver.ids import UserID
from homeserver.runtime.notifier import LogKind
from homeserver.users.stages import BaseStage
from storage import account_data, threepids, users
from storage.threepids import Threepid
from storage.uia import AuthSession
from tests.harness.client import Client
from tests.unit.users.account_server import PASSWORD, AccountServer, password_auth, user_id_of
from tests.unit.users.appservices import Bridge, OneAppservice
from tests.unit.users.conftest import MakeServer

ALICE = user_id_of("alice")
CHANGE = "/account/password"
DEACTIVATE = "/account/deactivate"
NEW = "a new password"


async def logs_in(server: AccountServer, password: str) -> bool:
    return (
        await server.client().ask("POST", "/login", password_auth("alice", password=password))
    ).status == 200


async def confirmed(client: Client, path: str, **body: Any) -> dict[str, Any]:
    challenge = await client.ask("POST", path, body)
    assert challenge.status == 401, challenge.body
    auth = password_auth("alice", challenge.json["session"])
    return await client.request("POST", path, {**body, "auth": auth})


class EmailStage(BaseStage):
    """Whoever names an address has proved it."""

    type = "m.login.email.identity"

    async def check(self, auth: Mapping[str, Any], session: AuthSession) -> Any:
        return {"medium": "email", "address": auth["address"], "validated_at": 5}


class TestPassword:
    async def test_it_changes_and_other_devices_are_logged_out(self, server: AccountServer) -> None:
        alice, other = await server.user("alice", device_id="PHONE"), await server.user("alice")
        assert await confirmed(alice, CHANGE, new_password=NEW) == {}
        assert await logs_in(server, NEW)
        assert not await logs_in(server, PASSWORD)
        assert (await alice.ask("GET", "/account/whoami")).status == 200
        assert (await other.ask("GET", "/account/whoami")).errcode == "M_UNKNOWN_TOKEN"

    async def test_other_devices_may_stay(self, server: AccountServer) -> None:
        alice, other = await server.user("alice"), await server.user("alice")
        await confirmed(alice, CHANGE, new_password=NEW, logout_devices=False)
        assert (await other.ask("GET", "/account/whoami")).status == 200

    async def test_the_old_one_must_be_right(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        await server.session_of("bob")
        body = {"new_password": NEW, "auth": password_auth("alice", password="wrong")}
        answer = await alice.ask("POST", CHANGE, body)
        assert (answer.status, answer.errcode) == (401, "M_FORBIDDEN")
        answer = await alice.ask("POST", CHANGE, {"new_password": NEW, "auth": password_auth("bob")})
        assert (answer.status, answer.errcode) == (401, "M_FORBIDDEN"), "somebody else's proves nothing"
        assert await logs_in(server, PASSWORD)

    async def test_a_weak_one_is_refused_and_the_proof_kept(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        session = (await alice.ask("POST", CHANGE, {"new_password": ""})).json["session"]
        answer = await alice.ask(
            "POST", CHANGE, {"new_password": "", "auth": password_auth("alice", session)}
        )
        assert (answer.status, answer.errcode) == (400, "M_WEAK_PASSWORD")
        await alice.request("POST", CHANGE, {"new_password": NEW, "auth": {"session": session}})
        assert await logs_in(server, NEW)

    async def test_malformed(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        for body in ({}, {"new_password": 7}, {"new_password": NEW, "auth": []}):
            answer = await alice.ask("POST", CHANGE, body)
            assert (answer.status, answer.errcode) == (400, "M_BAD_JSON")

    async def test_who_has_forgotten_it_needs_an_address(self, make_server: MakeServer) -> None:
        server = make_server(UserParts(stages=[EmailStage()]))
        session = await server.session_of("alice")
        await server.db.run(threepids.add, ALICE, Threepid("email", "alice@example.org", 1, 1))
        client = server.client()
        challenge = await client.ask("POST", CHANGE, {"new_password": NEW})
        assert challenge.json["flows"] == [{"stages": ["m.login.email.identity"]}]
        auth = {"type": "m.login.email.identity", "address": "mallory@example.org"}
        answer = await client.ask("POST", CHANGE, {"new_password": NEW, "auth": auth})
        assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")
        auth["address"] = "alice@example.org"
        assert await client.request("POST", CHANGE, {"new_password": NEW, "auth": auth}) == {}
        assert await logs_in(server, NEW)
        assert (await server.client(session.access_token).ask("GET", "/account/whoami")).status == 401

    async def test_without_email_it_cannot_be_reset(self, server: AccountServer) -> None:
        answer = await server.client().ask("POST", CHANGE, {"new_password": NEW})
        assert (answer.status, answer.errcode) == (401, "M_MISSING_TOKEN")

    async def test_switched_off(self, make_server: MakeServer) -> None:
        server = make_server(password_config={"enabled": False})
        answer = await (await server.user("alice")).ask("POST", CHANGE, {"new_password": NEW})
        assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")

    async def test_an_account_without_a_password_has_nothing_to_prove_it_by(
        self, server: AccountServer
    ) -> None:
        alice = await server.user("alice")
        await server.users.accounts.set_password(ALICE, None, logout_devices=False)
        answer = await alice.ask("POST", CHANGE, {"new_password": NEW})
        assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")


class TestDeactivation:
    async def test_nothing_is_left_but_the_name(self, server: AccountServer) -> None:
        left: list[UserID] = []
        server.users.deactivation.subscribe(left.append)
        alice = await server.user("alice", device_id="PHONE")
        await alice.request("PUT", f"/user/{ALICE}/account_data/a.b", {"c": 1})
        await alice.request("PUT", f"/profile/{ALICE}/displayname", {"displayname": "Alice A."})
        answer = await confirmed(alice, DEACTIVATE)
        assert answer == {"id_server_unbind_result": "success"}
        assert (await alice.ask("GET", "/account/whoami")).errcode == "M_UNKNOWN_TOKEN"
        assert not await logs_in(server, PASSWORD)
        account = await server.users.accounts.load(ALICE)
        assert (account.is_deactivated, account.is_erased, account.password_hash) == (True, False, None)
        assert await server.db.read(account_data.list_of_room, ALICE, None) == {}
        assert await server.db.read(users.list_departing) == [ALICE]
        assert left == [ALICE]
        assert server.logged(LogKind.DEVICE_LIST)[-1] == (ALICE, "PHONE")
        taken = await server.client().ask("GET", "/register/available", query={"username": "alice"})
        assert taken.errcode == "M_USER_IN_USE"
        profile = await server.client().request("GET", f"/profile/{ALICE}")
        assert profile == {"displayname": "Alice A."}, "who was not erased is remembered by name"

    async def test_erasure_takes_the_profile_too(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        await confirmed(alice, DEACTIVATE, erase=True)
        assert (await server.users.accounts.load(ALICE)).is_erased
        answer = await server.client().ask("GET", f"/profile/{ALICE}")
        assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")
        assert server.logged(LogKind.PROFILE)[-1] == (ALICE, "displayname")

    async def test_without_an_access_token_the_password_says_who(self, server: AccountServer) -> None:
        await server.session_of("alice")
        client = server.client()
        answer = await client.ask("POST", DEACTIVATE)
        assert answer.json["flows"] == [{"stages": ["m.login.password"]}]
        await client.request("POST", DEACTIVATE, {"auth": password_auth("alice", answer.json["session"])})
        assert (await server.users.accounts.load(ALICE)).is_deactivated

    async def test_a_wrong_password_deactivates_nobody(self, server: AccountServer) -> None:
        await server.session_of("alice")
        for name, password in (("alice", "wrong"), ("nobody", "any")):
            auth = password_auth(name, password=password)
            answer = await server.client().ask("POST", DEACTIVATE, {"auth": auth})
            assert (answer.status, answer.errcode) == (401, "M_FORBIDDEN")
        assert not (await server.users.accounts.load(ALICE)).is_deactivated

    async def test_services_need_no_proof(self, make_server: MakeServer) -> None:
        server = make_server(UserParts(appservices=OneAppservice(Bridge())))
        bridge = server.client("bridge-token")
        body = {"type": "m.login.application_service", "username": "_irc_bob", "inhibit_login": True}
        await bridge.request("POST", "/register", body)
        await bridge.request("POST", DEACTIVATE, query={"user_id": "@_irc_bob:one.test"})
        assert (await server.users.accounts.load(user_id_of("_irc_bob"))).is_deactivated

    async def test_identity_servers_are_told(self, make_server: MakeServer) -> None:
        class Unbinder:
            asked: list[tuple[UserID, str | None]] = []

            async def unbind_all(self, user_id: UserID, id_server: str | None) -> bool:
                self.asked.append((user_id, id_server))
                return True

        unbinder = Unbinder()
        server = make_server(UserParts(unbinder=unbinder))
        alice = await server.user("alice")
        await server.db.run(threepids.add_binding, ALICE, "email", "a@b.org", "id.test")
        answer = await confirmed(alice, DEACTIVATE, id_server="id.test")
        assert answer == {"id_server_unbind_result": "success"}
        assert unbinder.asked == [(ALICE, "id.test")]

    async def test_without_identity_servers_bindings_stay(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        await server.db.run(threepids.add_binding, ALICE, "email", "a@b.org", "id.test")
        assert await confirmed(alice, DEACTIVATE) == {"id_server_unbind_result": "no-support"}

    async def test_what_others_keep_goes_too(self, make_server: MakeServer) -> None:
        gone: list[UserID] = []
        server = make_server(UserParts(account_cleanups=[lambda txn, user_id: gone.append(user_id)]))
        await confirmed(await server.user("alice"), DEACTIVATE)
        assert gone == [ALICE]

    async def test_reactivation(self, server: AccountServer) -> None:
        await confirmed(await server.user("alice"), DEACTIVATE)
        await server.users.deactivation.reactivate(ALICE, await server.users.passwords.hash(NEW))
        assert await logs_in(server, NEW)
        assert await server.db.read(users.list_departing) == []

    @pytest.mark.parametrize("body", [{"erase": "yes"}, {"auth": "x"}])
    async def test_malformed(self, server: AccountServer, body: dict[str, Any]) -> None:
        answer = await (await server.user("alice")).ask("POST", DEACTIVATE, body)
        assert (answer.status, answer.errcode) == (400, "M_BAD_JSON")


class TestAccounts:
    async def test_unknown_users_cannot_be_changed(self, server: AccountServer) -> None:
        accounts = server.users.accounts
        nobody = user_id_of("nobody")
        from homeserver.errors import NotFound

        for change in (
            accounts.set_admin(nobody, admin=True),
            accounts.set_locked(nobody, locked=True),
            accounts.set_shadow_banned(nobody, shadow_banned=True),
            accounts.set_user_type(nobody, "bot"),
            accounts.set_password(nobody, NEW, logout_devices=True),
            server.users.deactivation.deactivate(nobody, erase=False),
            server.users.deactivation.reactivate(nobody, None),
            accounts.load(nobody),
        ):
            with pytest.raises(NotFound):
                await change

    async def test_flags_are_kept(self, server: AccountServer) -> None:
        await server.session_of("alice")
        accounts = server.users.accounts
        await accounts.set_admin(ALICE, admin=True)
        await accounts.set_shadow_banned(ALICE, shadow_banned=True)
        await accounts.set_user_type(ALICE, "bot")
        account = await accounts.load(ALICE)
        assert (account.is_admin, account.is_shadow_banned, account.user_type) == (True, True, "bot")
