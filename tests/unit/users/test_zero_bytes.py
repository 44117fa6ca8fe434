"""Zero bytes, which PostgreSQL keeps in no text: whoever sends them gets an answer like anybody else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.users.account_server import AccountServer, password_auth


@pytest.mark.parametrize(
    ("method", "path", "body", "statuses"),
    [
        ("GET", "/devices/a%00b", None, [404, 400]),
        ("PUT", "/devices/a%00b", {"display_name": "x"}, [404, 400]),
        ("DELETE", "/devices/a%00b", {"auth": password_auth("alice")}, [200, 400]),
        ("POST", "/delete_devices", {"devices": ["a\0b"], "auth": password_auth("alice")}, [200, 400]),
        ("DELETE", "/devices/x", {"auth": {"session": "a\0b"}}, [400]),
        ("DELETE", "/devices/x", {"auth": {"type": "a\0b"}}, [401]),
        ("POST", "/login", password_auth("a\0b"), [403, 400]),
        ("POST", "/login", password_auth("alice", password="a\0b"), [403]),
        ("POST", "/login", {**password_auth("alice"), "device_id": "a\0b"}, [400]),
        ("POST", "/login", {"type": "m.login.token", "token": "a\0b"}, [403]),
        (
            "POST",
            "/login",
            {"type": "m.login.password", "medium": "email", "address": "a\0@b.org", "password": "x"},
            [403, 400],
        ),
        (
            "POST",
            "/login",
            {"type": "m.login.password", "medium": "a\0b", "address": "a@b.org", "password": "x"},
            [403, 400],
        ),
        ("POST", "/refresh", {"refresh_token": "a\0b"}, [401]),
        ("GET", "/register/available?username=a%00b", None, [400]),
        ("GET", "/_matrix/client/v1/register/m.login.registration_token/validity?token=a%00b", None, [200]),
        ("GET", "/auth/m.login.password/fallback/web?session=a%00b", None, [404, 400]),
        ("GET", "/profile/@a%00b:one.test", None, [400]),
        ("GET", "/pushrules/global/override/a%00b", None, [404]),
        ("PUT", "/pushrules/global/override/a%00b", {"actions": []}, [200]),
        ("PUT", "/user/@alice:one.test/rooms/!a%00b:one.test/tags/x", {}, [400]),
        ("PUT", "/user/@alice:one.test/rooms/!ab:one.test/tags/a%00b", {}, [200]),
        ("GET", "/user/@alice:one.test/filter/a%00b", None, [404]),
        ("POST", "/user/@alice:one.test/filter", {"event_fields": ["a\0b"]}, [200]),
        ("PUT", "/profile/@alice:one.test/displayname", {"displayname": "a\0b"}, [200]),
        ("GET", "/account/whoami?access_token=a%00b", None, [200]),
        ("POST", "/account/deactivate", {"auth": password_auth("alice"), "id_server": "a\0b"}, [200]),
    ],
)
async def test_zero_bytes(
    server: AccountServer, method: str, path: str, body: Any, statuses: list[int]
) -> None:
    alice = await server.user("alice")
    assert (await alice.ask(method, path, body)).status in statuses
