"""Access tokens: what they open, how they are renewed, and when they stop."""

from __future__ import annotations

import pytest

from homeserver.http.requester import Requester
from homeserver.ids import DeviceID
from homeserver.users.last_seen import KEEP_CONNECTIONS_MS
from homeserver.users.session_events import SessionEvent
from homeserver.users.sessions import Session
from storage import devices as device_rows
from storage import tokens
from storage.devices import Sighting
from storage.transaction import Transaction
from tests.harness.client import Client
from tests.unit.users.account_server import AccountServer, user_id_of
from tests.unit.users.conftest import MakeServer

ALICE = user_id_of("alice")
WHOAMI = "/account/whoami"


async def status_of(server: AccountServer, access_token: str) -> int:
    return (await server.client(access_token).ask("GET", WHOAMI)).status


def _rows(txn: Transaction, table: str) -> list[tuple[object, ...]]:
    return txn.all(f"SELECT * FROM {table}")


class TestTokens:
    async def test_a_token_opens_by_header_and_by_query(self, server: AccountServer) -> None:
        token = (await server.session_of("alice")).access_token
        client = server.client()
        assert (await client.ask("GET", WHOAMI, headers={"Authorization": f"bearer {token}"})).status == 200
        assert (await client.ask("GET", WHOAMI, query={"access_token": token})).status == 200

    async def test_no_token_and_wrong_ones(self, server: AccountServer) -> None:
        answer = await server.client().ask("GET", WHOAMI)
        assert (answer.status, answer.errcode) == (401, "M_MISSING_TOKEN")
        for wrong in ("nonsense", "x" * 5000, "ä"):
            answer = await server.client().ask("GET", WHOAMI, query={"access_token": wrong})
            assert (answer.status, answer.errcode) == (401, "M_UNKNOWN_TOKEN")

    async def test_only_hashes_are_stored(self, server: AccountServer) -> None:
        session = await server.session_of("alice", wants_refresh=True)
        for table in ("access_tokens", "refresh_tokens"):
            (row,) = await server.db.read(_rows, table)
            shown = repr(row)
            assert session.access_token not in shown
            assert str(session.refresh_token) not in shown

    async def test_tokens_without_an_end_live_for_ever(self, server: AccountServer) -> None:
        session = await server.session_of("alice")
        await server.clock.sleep(5 * 24 * 3600)
        assert await status_of(server, session.access_token) == 200

    async def test_tokens_may_expire(self, make_server: MakeServer) -> None:
        server = make_server(nonrefreshable_access_token_lifetime="1h")
        session = await server.session_of("alice")
        assert session.expires_in_ms == 3_600_000
        assert await status_of(server, session.access_token) == 200
        await server.clock.sleep(3601)
        for _ in range(2):
            answer = await server.client(session.access_token).ask("GET", WHOAMI)
            assert (answer.status, answer.errcode) == (401, "M_UNKNOWN_TOKEN")
            assert answer.json["soft_logout"] is True


class TestAuthenticator:
    async def test_a_known_token_costs_no_database(self, server: AccountServer) -> None:
        session = await server.session_of("alice")
        assert await status_of(server, session.access_token) == 200
        await server.db.run(lambda txn: txn.execute("DELETE FROM access_tokens"))
        assert await status_of(server, session.access_token) == 200, "from memory"

    async def test_flags_take_effect_at_once(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        assert (await alice.ask("GET", WHOAMI)).status == 200
        await server.users.accounts.set_locked(ALICE, locked=True)
        answer = await alice.ask("GET", WHOAMI)
        assert (answer.status, answer.errcode, answer.json["soft_logout"]) == (401, "M_USER_LOCKED", True)
        await server.users.accounts.set_locked(ALICE, locked=False)
        assert (await alice.ask("GET", WHOAMI)).status == 200
        await server.users.accounts.set_suspended(ALICE, suspended=True)
        answer = await alice.ask("PUT", f"/profile/{ALICE}/displayname", {"displayname": "A"})
        assert (answer.status, answer.errcode) == (403, "M_USER_SUSPENDED")
        assert (await alice.ask("GET", WHOAMI)).status == 200
        await server.users.accounts.set_suspended(ALICE, suspended=False)
        await alice.request("PUT", f"/profile/{ALICE}/displayname", {"displayname": "A"})

    async def test_a_locked_user_may_still_log_out(self, server: AccountServer) -> None:
        alice, other = await server.user("alice"), await server.user("alice")
        await server.users.accounts.set_locked(ALICE, locked=True)
        assert (await alice.ask("POST", "/logout")).status == 200
        assert (await other.ask("POST", "/logout/all")).status == 200
        assert await server.db.read(tokens.list_access, ALICE) == []

    async def test_a_lock_ends_what_waits(self, server: AccountServer) -> None:
        await server.session_of("alice")
        heard: list[SessionEvent] = []
        stop = server.users.events.subscribe(heard.append)
        await server.users.accounts.set_locked(ALICE, locked=True)
        assert heard == [SessionEvent(ALICE, None, has_ended=True, is_locked=True)]
        stop()
        await server.users.accounts.set_locked(ALICE, locked=False)
        assert len(heard) == 1

    async def test_the_oldest_are_forgotten_first(self, server: AccountServer) -> None:
        sessions = [await server.session_of("alice") for _ in range(3)]
        server.users.authenticator._max_known = 2
        for session in sessions:
            assert await status_of(server, session.access_token) == 200
        assert len(server.users.authenticator._known) == 2

    async def test_outside_of_requests(self, make_server: MakeServer) -> None:
        server = make_server(nonrefreshable_access_token_lifetime="1h")
        session = await server.session_of("alice")
        who = await server.users.authenticator.requester_of(session.access_token)
        assert who is not None
        assert (who.user_id, who.device_id) == (ALICE, session.device_id)
        assert await server.users.authenticator.requester_of("nonsense") is None
        await server.clock.sleep(3601)
        assert await server.users.authenticator.requester_of(session.access_token) is None

    async def test_a_puppet_acts_as_the_user_even_in_a_locked_account(self, server: AccountServer) -> None:
        await server.session_of("alice")
        await server.session_of("admin")
        expires_ms = server.clock.now_ms() + 60_000
        token = await server.users.sessions.puppet(ALICE, user_id_of("admin"), expires_ms=expires_ms)
        client = server.client(token)
        assert await client.request("GET", WHOAMI) == {"user_id": ALICE, "is_guest": False}
        await server.users.accounts.set_locked(ALICE, locked=True)
        assert (await client.ask("GET", WHOAMI)).status == 200
        await client.request("POST", "/logout")
        assert (await client.ask("GET", WHOAMI)).status == 401
        assert (await server.users.devices.list_of_user(ALICE)) != [], "the user's own devices stay"


class TestRefresh:
    async def refresh(self, server: AccountServer, refresh_token: str | None) -> dict[str, object]:
        return await server.client().request("POST", "/refresh", {"refresh_token": refresh_token})

    async def refused(self, server: AccountServer, refresh_token: object) -> tuple[int, str | None]:
        answer = await server.client().ask("POST", "/refresh", {"refresh_token": refresh_token})
        return answer.status, answer.errcode

    async def session(self, server: AccountServer) -> Session:
        return await server.session_of("alice", wants_refresh=True, device_id=DeviceID("PHONE"))

    async def test_new_tokens_for_the_same_device(self, server: AccountServer) -> None:
        first = await self.session(server)
        second = await self.refresh(server, first.refresh_token)
        assert second["expires_in_ms"] == 300_000
        assert second["access_token"] != first.access_token
        whoami = await server.client(str(second["access_token"])).request("GET", WHOAMI)
        assert whoami["device_id"] == "PHONE"

    async def test_the_old_refresh_token_works_until_the_new_access_token_is_used(
        self, server: AccountServer
    ) -> None:
        first = await self.session(server)
        await self.refresh(server, first.refresh_token)
        second = await self.refresh(server, first.refresh_token)
        assert await status_of(server, str(second["access_token"])) == 200
        assert await self.refused(server, first.refresh_token) == (401, "M_UNKNOWN_TOKEN")
        assert await status_of(server, first.access_token) == 401

    async def test_the_old_refresh_token_works_until_the_new_one_is_used(self, server: AccountServer) -> None:
        first = await self.session(server)
        second = await self.refresh(server, first.refresh_token)
        third = await self.refresh(server, str(second["refresh_token"]))
        assert await self.refused(server, first.refresh_token) == (401, "M_UNKNOWN_TOKEN")
        assert await status_of(server, first.access_token) == 401
        assert await status_of(server, str(third["access_token"])) == 200

    async def test_an_answer_that_was_lost_is_worth_nothing(self, server: AccountServer) -> None:
        first = await self.session(server)
        lost = await self.refresh(server, first.refresh_token)
        await self.refresh(server, first.refresh_token)
        assert await status_of(server, str(lost["access_token"])) == 401
        assert await self.refused(server, lost["refresh_token"]) == (401, "M_UNKNOWN_TOKEN")

    async def test_the_old_access_token_works_until_then_too(self, server: AccountServer) -> None:
        first = await self.session(server)
        assert await status_of(server, first.access_token) == 200
        second = await self.refresh(server, first.refresh_token)
        assert await status_of(server, first.access_token) == 200
        assert await status_of(server, str(second["access_token"])) == 200
        assert await status_of(server, first.access_token) == 401

    async def test_access_tokens_expire_softly(self, server: AccountServer) -> None:
        first = await self.session(server)
        assert await status_of(server, first.access_token) == 200
        await server.clock.sleep(301)
        answer = await server.client(first.access_token).ask("GET", WHOAMI)
        assert (answer.status, answer.json["soft_logout"]) == (401, True)
        second = await self.refresh(server, first.refresh_token)
        assert await status_of(server, str(second["access_token"])) == 200

    async def test_refresh_tokens_may_expire(self, make_server: MakeServer) -> None:
        server = make_server(refresh_token_lifetime="1h")
        first = await self.session(server)
        await server.clock.sleep(3601)
        answer = await server.client().ask("POST", "/refresh", {"refresh_token": first.refresh_token})
        assert (answer.status, answer.errcode) == (401, "M_UNKNOWN_TOKEN")
        assert answer.json["soft_logout"] is True

    async def test_a_session_may_have_an_end(self, make_server: MakeServer) -> None:
        server = make_server(session_lifetime="8m")
        first = await self.session(server)
        await server.clock.sleep(240)
        second = await self.refresh(server, first.refresh_token)
        assert second["expires_in_ms"] == 240_000
        await server.clock.sleep(241)
        assert await self.refused(server, second["refresh_token"]) == (401, "M_UNKNOWN_TOKEN")

    async def test_after_logout_nothing_is_refreshed(self, server: AccountServer) -> None:
        first = await self.session(server)
        await server.client(first.access_token).request("POST", "/logout")
        assert await self.refused(server, first.refresh_token) == (401, "M_UNKNOWN_TOKEN")

    @pytest.mark.parametrize("body", [{}, {"refresh_token": 1}, {"refresh_token": None}])
    async def test_malformed(self, server: AccountServer, body: dict[str, object]) -> None:
        answer = await server.client().ask("POST", "/refresh", body)
        assert (answer.status, answer.errcode) == (400, "M_BAD_JSON")

    async def test_an_access_token_is_no_refresh_token(self, server: AccountServer) -> None:
        first = await self.session(server)
        assert await self.refused(server, first.access_token) == (401, "M_UNKNOWN_TOKEN")


class TestLastSeen:
    async def device(self, client: Client) -> dict[str, object]:
        (device,) = (await client.request("GET", "/devices"))["devices"]
        return dict(device)

    async def test_it_is_known_at_once_and_written_later(self, server: AccountServer) -> None:
        session = await server.session_of("alice")
        client = server.client(session.access_token, address="10.1.2.3")
        before_ms = server.clock.now_ms()
        await client.ask("GET", WHOAMI, headers={"User-Agent": "Tester/1"})
        device = await self.device(client)
        assert device["last_seen_ip"] == "10.1.2.3"
        assert int(str(device["last_seen_ts"])) >= before_ms
        count = "SELECT COUNT(*) FROM connections"
        assert await server.db.read(lambda txn: txn.value(count)) == 0
        await server.clock.sleep(61)
        row = await server.db.read(lambda txn: txn.one("SELECT ip, agent FROM connections"))
        assert row == ("10.1.2.3", "Tester/1")
        assert (await self.device(client))["last_seen_ip"] == "10.1.2.3"

    async def test_another_address_is_noted_at_once(self, server: AccountServer) -> None:
        session = await server.session_of("alice")
        for address in ("10.0.0.1", "10.0.0.2"):
            client = server.client(session.access_token, address=address)
            assert (await self.device(client))["last_seen_ip"] == address
        await server.users.last_seen.flush()
        rows = await server.db.read(lambda txn: txn.all("SELECT ip FROM connections"))
        assert rows == [("10.0.0.2",)], "one sighting a batch is enough"

    async def test_old_connections_are_forgotten(self, server: AccountServer) -> None:
        session = await server.session_of("alice")
        long_ago_ms = server.clock.now_ms() - KEEP_CONNECTIONS_MS
        old = Sighting(ALICE, session.device_id, "10.9.9.9", "Tester/0", long_ago_ms)
        await server.db.run(device_rows.record_sightings, [old])
        await server.clock.sleep(25 * 3600)
        client = server.client(session.access_token)
        await client.ask("GET", WHOAMI)
        await server.users.last_seen.flush()
        assert [seen.ip for seen in await server.db.read(device_rows.list_connections, ALICE)] == ["10.0.0.1"]


async def test_a_requester_without_a_device_logs_out_of_nothing(server: AccountServer) -> None:
    await server.session_of("alice")
    await server.users.sessions.end(Requester(ALICE))
    assert len(await server.users.devices.list_of_user(ALICE)) == 1
