"""What holds for every call of the IM API, whatever it is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from homeserver.http.endpoint import Auth, EndpointDeclaration
from tests.harness.server import Server

# What is sent where a path has a parameter; no such thing exists.
_NAMES = {
    "user_id": "@nobody:one.test",
    "user": "nobody",
    "cid": "!nowhere:one.test",
    "gid": "!nowhere:one.test",
    "event_id": "$nothing",
    "moment_id": "$nothing",
    "comment_id": "$nothing",
    "server_name": "one.test",
    "verb": "hangup",
}
_SOCKET = "/im/v1/ws"
TAKE_NO_BODY = frozenset({"block"})


def declared(server: Server) -> Iterator[tuple[EndpointDeclaration, str]]:
    """Every call, and a path of it."""
    for route in server.homeserver.router.routes():
        one = route.declaration
        if one.path.startswith("/im/v1/") and one.path != _SOCKET:
            yield one, re.sub(r"{([a-z_]+)}", lambda name: _NAMES.get(name[1], "none"), one.path)


async def test_nobody_in_particular_is_refused(server: Server) -> None:
    nobody = server.client()
    stranger = server.client("hat_that_nobody_has")
    for one, path in declared(server):
        if one.auth in (Auth.ACCESS_TOKEN, Auth.ADMIN):
            for client, errcode in ((nobody, "M_MISSING_TOKEN"), (stranger, "M_UNKNOWN_TOKEN")):
                answer = await client.ask(one.method, path, {})
                assert (answer.status, answer.errcode) == (401, errcode), (one.method, path)


async def test_what_is_no_object_is_refused(server: Server) -> None:
    ann = await server.user("ann")
    taking = [
        (one, path)
        for one, path in declared(server)
        if one.method in ("POST", "PUT", "PATCH") and not one.streams and one.auth is not Auth.ADMIN
    ]
    for one, path in taking:
        for raw in (b"[]", b"{", b"\xff", b'"text"'):
            answer = await ann.ask(one.method, path, raw=raw)
            # What takes no body does not look at one.
            assert 400 <= answer.status < 500 or one.operation in TAKE_NO_BODY, (one.method, path, raw)
            if answer.status == 400:
                assert answer.errcode in ("M_BAD_JSON", "M_NOT_JSON", "M_INVALID_PARAM"), (
                    path,
                    raw,
                    answer.body,
                )


async def test_every_call_is_counted(server: Server) -> None:
    uncounted = {one.operation for one, _ in declared(server) if one.rate_limit is None}
    assert uncounted == {"get_im_health"}
