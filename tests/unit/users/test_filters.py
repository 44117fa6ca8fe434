"""Filters, OpenID tokens and capabilities, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.errors import UnknownToken
from tests.unit.users.account_server import AccountServer, user_id_of

ALICE = user_id_of("alice")
FILTERS = f"/user/{ALICE}/filter"


class TestFilters:
    async def test_what_is_uploaded_comes_back(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        wanted = {
            "room": {"timeline": {"limit": 5, "types": ["m.room.*"]}, "rooms": ["!a:b"]},
            "presence": {"not_senders": ["@bob:one.test"]},
            "event_format": "client",
            "org.example": {"kept": True},
        }
        filter_id = (await alice.request("POST", FILTERS, wanted))["filter_id"]
        assert not filter_id.startswith("{")
        assert await alice.request("GET", f"{FILTERS}/{filter_id}") == wanted
        assert await alice.request("POST", FILTERS, wanted) == {"filter_id": filter_id}
        other = (await alice.request("POST", FILTERS, {}))["filter_id"]
        assert other != filter_id
        assert await alice.request("GET", f"{FILTERS}/{other}") == {}

    async def test_filters_are_their_users(self, server: AccountServer) -> None:
        alice, bob = await server.user("alice"), await server.user("bob")
        filter_id = (await alice.request("POST", FILTERS, {}))["filter_id"]
        for method, path in (("POST", FILTERS), ("GET", f"{FILTERS}/{filter_id}")):
            answer = await bob.ask(method, path)
            assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")

    @pytest.mark.parametrize("filter_id", ["7", "x", "-1", "1" * 40, "%C2%B2"])
    async def test_unknown_ones(self, server: AccountServer, filter_id: str) -> None:
        answer = await (await server.user("alice")).ask("GET", f"{FILTERS}/{filter_id}")
        assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")

    @pytest.mark.parametrize(
        "wanted",
        [
            {"room": 7},
            {"room": {"timeline": {"limit": "many"}}},
            {"room": {"rooms": ["@alice:one.test"]}},
            {"presence": {"senders": ["alice"]}},
            {"event_format": "xml"},
        ],
    )
    async def test_what_is_no_filter(self, server: AccountServer, wanted: dict[str, Any]) -> None:
        answer = await (await server.user("alice")).ask("POST", FILTERS, wanted)
        assert (answer.status, answer.errcode) == (400, "M_BAD_JSON")


class TestOpenID:
    PATH = f"/user/{ALICE}/openid/request_token"

    async def test_a_token_says_who_one_is_and_nothing_more(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        answer = await alice.request("POST", self.PATH)
        assert (answer["token_type"], answer["matrix_server_name"], answer["expires_in"]) == (
            "Bearer",
            "one.test",
            3600,
        )
        token = answer["access_token"]
        assert await server.users.short_tokens.openid_user(token) == ALICE
        assert await server.users.short_tokens.openid_user(token) == ALICE, "it may be shown more than once"
        assert (await server.client(token).ask("POST", self.PATH)).errcode == "M_UNKNOWN_TOKEN"
        await server.clock.sleep(3601)
        with pytest.raises(UnknownToken):
            await server.users.short_tokens.openid_user(token)

    async def test_it_ends_with_the_account(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        token = (await alice.request("POST", self.PATH))["access_token"]
        await server.users.deactivation.deactivate(ALICE, erase=False)
        with pytest.raises(UnknownToken):
            await server.users.short_tokens.openid_user(token)

    async def test_refusals(self, server: AccountServer) -> None:
        answer = await (await server.user("bob")).ask("POST", self.PATH)
        assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")
        answer = await server.client().ask("POST", self.PATH)
        assert (answer.status, answer.errcode) == (401, "M_MISSING_TOKEN")


class TestCapabilities:
    async def test_what_the_server_can_do(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        capabilities = (await alice.request("GET", "/capabilities"))["capabilities"]
        versions = capabilities["m.room_versions"]
        assert versions["default"] == "12"
        assert set(versions["available"]) == {str(version) for version in range(1, 13)}
        assert capabilities["m.change_password"] == {"enabled": True}
        assert capabilities["m.get_login_token"] == {"enabled": True}
        assert capabilities["m.profile_fields"] == {"enabled": True}
        assert capabilities["uk.tcpip.msc4133.profile_fields"] == {"enabled": True}
        assert "m.account_moderation" not in capabilities
        await server.users.accounts.set_admin(ALICE, admin=True)
        capabilities = (await alice.request("GET", "/capabilities"))["capabilities"]
        assert capabilities["m.account_moderation"] == {"lock": True, "suspend": True}

    async def test_who_has_no_password_cannot_change_it(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        await server.users.accounts.set_password(ALICE, None, logout_devices=False)
        capabilities = (await alice.request("GET", "/capabilities"))["capabilities"]
        assert capabilities["m.change_password"] == {"enabled": False}

    async def test_they_are_for_users(self, server: AccountServer) -> None:
        answer = await server.client().ask("GET", "/capabilities")
        assert (answer.status, answer.errcode) == (401, "M_MISSING_TOKEN")
