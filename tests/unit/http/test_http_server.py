"""Requests and answers, from bytes to bytes."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.errors import LimitExceeded, UnknownToken
from homeserver.http.endpoint import Auth, EndpointDeclaration
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.router import Router
from homeserver.http.server import HttpServer
from homeserver.http.wire import CORS
from homeserver.runtime.clock import Clock
from homeserver.runtime.context import request_id
from homeserver.runtime.metrics import Metrics
from tests.conftest import Logged
from tests.fixtures.reactor import VirtualReactor
from tests.unit.http.served import ALICE, Endpoints, Peer, Served, get, headers_of, json_of, put, status_of

TYPING = "/_matrix/client/v3/rooms/%21r%3Atest/typing/@alice:test"
AS_ALICE = "Authorization: Bearer alice"


@pytest.fixture
def served(reactor: VirtualReactor) -> Served:
    return Served(reactor)


def test_a_get_is_answered(served: Served) -> None:
    answer = served.ask(get("/_matrix/client/v3/page?limit=3&via=a&via=b%20c&unknown=1", AS_ALICE))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json_of(answer) == {"user": "@alice:test", "limit": 3, "since": None, "via": ["a", "b c"]}
    headers = headers_of(answer)
    assert headers["content-type"] == "application/json"
    assert headers["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert {name: headers[name.lower()] for name in CORS} == CORS


def test_a_put_is_answered(served: Served) -> None:
    answer = served.ask(put(TYPING, b'{"typing":true}', AS_ALICE))
    assert json_of(answer) == {"room": "!r:test", "user": "@alice:test", "typing": True, "timeout": 30_000}


def test_what_is_under_v3_is_under_r0_too(served: Served) -> None:
    assert status_of(served.ask(put(TYPING.replace("v3", "r0"), b'{"typing":true}', AS_ALICE))) == 200


def test_the_token_may_stand_in_the_query(served: Served) -> None:
    answer = served.ask(get("/_matrix/client/v3/page?access_token=alice"))
    assert json_of(answer)["user"] == "@alice:test"
    assert "access_token=<redacted>" in served.access_lines()


@pytest.mark.parametrize(
    ("request_bytes", "status", "errcode"),
    [
        (get("/nothing/here"), 404, "M_UNRECOGNIZED"),
        (get(TYPING, AS_ALICE), 405, "M_UNRECOGNIZED"),
        (get("/_matrix/client/v3/page"), 401, "M_MISSING_TOKEN"),
        (get("/_matrix/client/v3/page?limit=many", AS_ALICE), 400, "M_INVALID_PARAM"),
        (get("/_matrix/client/v3/page?since=%ff", AS_ALICE), 400, "M_INVALID_PARAM"),
        (put(TYPING.replace("%21", ""), b'{"typing":true}', AS_ALICE), 400, "M_INVALID_PARAM"),
        (put(TYPING, b'{"typing":tru', AS_ALICE), 400, "M_NOT_JSON"),
        (put(TYPING, b"", AS_ALICE), 400, "M_NOT_JSON"),
        (put(TYPING, b"{}", AS_ALICE), 400, "M_BAD_JSON"),
        (put(TYPING, b'{"typing":1}', AS_ALICE), 400, "M_BAD_JSON"),
        (put(TYPING, b"[]", AS_ALICE), 400, "M_BAD_JSON"),
        (put(TYPING, b'{"typing":true}', "Authorization: Bearer guest"), 403, "M_GUEST_ACCESS_FORBIDDEN"),
        (put(TYPING, b'{"typing":true}', "Authorization: Bearer locked"), 401, "M_USER_LOCKED"),
        (put("/active", b"", "Authorization: Bearer suspended", method="POST"), 403, "M_USER_SUSPENDED"),
        (get("/admin", AS_ALICE), 403, "M_FORBIDDEN"),
        (put("/any", b'"' + b"x" * 999 + b'"', method="POST"), 413, "M_TOO_LARGE"),
        (get("/fails/missing"), 404, "M_NOT_FOUND"),
        (get("/fails/limited"), 429, "M_LIMIT_EXCEEDED"),
        (get("/fails/rejected"), 403, "M_FORBIDDEN"),
        (get("/fails/malformed"), 400, "M_BAD_JSON"),
        (get("/fails/remote"), 502, "M_UNKNOWN"),
        (get("/download/much"), 400, "M_INVALID_PARAM"),
    ],
)
def test_a_refusal_says_why(served: Served, request_bytes: bytes, status: int, errcode: str) -> None:
    answer = served.ask(request_bytes)
    assert (status_of(answer), json_of(answer)["errcode"]) == (status, errcode)
    assert headers_of(answer)["access-control-allow-origin"] == "*"


def test_who_is_admitted(served: Served) -> None:
    assert status_of(served.ask(get("/admin", "Authorization: Bearer admin"))) == 200
    assert status_of(served.ask(put("/logout", b"", "Authorization: Bearer locked", method="POST"))) == 200
    assert status_of(served.ask(put("/active", b"{}", AS_ALICE, method="POST"))) == 200
    assert json_of(served.ask(get("/who"))) == {"user": None}
    assert json_of(served.ask(get("/who", AS_ALICE))) == {"user": "@alice:test"}


def test_too_many_requests_are_told_when_to_come_back(served: Served) -> None:
    answer = served.ask(get("/fails/limited"))
    assert headers_of(answer)["retry-after"] == "2"
    assert json_of(answer)["retry_after_ms"] == 1500


def test_a_bug_is_logged_and_not_told(served: Served, logged: Logged) -> None:
    logged.expect_errors()
    answer = served.ask(get("/fails/bug"))
    assert status_of(answer) == 500
    assert b"secret detail" not in answer
    assert "secret detail" in str(logged.errors)


def test_a_header_cannot_be_split(served: Served, logged: Logged) -> None:
    logged.expect_errors()
    answer = served.ask(get("/split"))
    assert status_of(answer) == 500
    assert b"X-B" not in answer


def test_head_is_get_without_its_body(served: Served) -> None:
    answer = served.ask(get("/plain").replace(b"GET", b"HEAD"))
    assert status_of(answer) == 200
    assert headers_of(answer)["content-length"] == "2"
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("target", ["/plain", TYPING, "/nothing/here", "*"])
def test_options_are_answered_everywhere(served: Served, target: str) -> None:
    answer = served.ask(get(target).replace(b"GET", b"OPTIONS"))
    assert status_of(answer) == 200
    assert headers_of(answer)["access-control-allow-headers"] == CORS["Access-Control-Allow-Headers"]


def test_a_page_comes_with_a_strict_policy(served: Served) -> None:
    answer = served.ask(get("/page.html"))
    headers = headers_of(answer)
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert answer.endswith("<p>grüße</p>".encode())


def test_rate_limits_count_by_user_and_spare_the_exempt(reactor: VirtualReactor) -> None:
    seen = []

    class Noting:
        def check(self, name: str, key: str) -> None:
            seen.append((name, key))

    served = Served(reactor, limiter=Noting())
    for token in ("alice", "robot"):
        served.ask(put(TYPING, b'{"typing":true}', f"Authorization: Bearer {token}"))
    assert seen == [("typing", "@alice:test")]


def test_the_access_line_says_who_and_what(served: Served) -> None:
    served.ask(get("/_matrix/client/v3/page?limit=3", AS_ALICE, "User-Agent: Test/1"))
    assert (
        "GET-1 - 192.0.2.1 - http - {@alice:test} Processed request: 0.000sec/0.000sec"
        in served.access_lines()
    )
    assert '200 "GET /_matrix/client/v3/page?limit=3 HTTP/1.1" "Test/1"' in served.access_lines()


def test_large_answers_are_compressed_where_asked(reactor: VirtualReactor) -> None:
    served = Served(reactor, compress_above=1000)
    answer = served.ask(get("/large/5000", "Accept-Encoding: gzip, br"))
    assert headers_of(answer)["content-encoding"] == "gzip"
    assert len(answer) < 1000
    assert "content-encoding" not in headers_of(served.ask(get("/large/5000")))
    assert "content-encoding" not in headers_of(served.ask(get("/large/500", "Accept-Encoding: gzip")))


def test_requests_are_counted(reactor: VirtualReactor) -> None:
    metrics = Metrics()
    served = Served(reactor, metrics=metrics, name="8008")
    served.ask(get("/plain"))
    served.ask(get("/plain"))
    served.ask(get("/nothing"))
    text = metrics.exposition().decode()
    assert 'hearth_http_requests_total{operation="plain",status="200"} 2.0' in text
    assert 'hearth_http_requests_total{operation="none",status="404"} 1.0' in text
    assert "hearth_http_connections_8008 3.0" in text


def test_who_asks_and_how_often_may_have_to_be_looked_up(reactor: VirtualReactor) -> None:
    clock = Clock(reactor)
    seen = []

    async def authenticate(request: Request, _: EndpointDeclaration) -> Requester | None:
        await clock.sleep(1)
        if request.access_token() == "bad":
            raise UnknownToken()
        return ALICE

    class Shared:
        async def check(self, name: str, key: str) -> None:
            await clock.sleep(1)
            seen.append((name, key, request_id()))
            if len(seen) > 1:
                raise LimitExceeded(retry_after_ms=1)

    authenticators: Any = dict.fromkeys(
        (Auth.ACCESS_TOKEN, Auth.ACCESS_TOKEN_OPTIONAL, Auth.ADMIN), authenticate
    )
    router = Router([Endpoints()], authenticators, Shared())
    server = HttpServer(router, clock, write_access=None)
    statuses = []
    for token in ("good", "bad", "good"):
        peer = Peer(server, "192.0.2.1")
        peer.send(put(TYPING, b'{"typing":true}', f"Authorization: Bearer {token}"))
        assert peer.take() == b""
        reactor.pump([1.0, 1.0, 1.0])
        statuses.append(status_of(peer.take()))
    assert statuses == [200, 401, 429]
    assert seen == [("typing", "@alice:test", "PUT-1"), ("typing", "@alice:test", "PUT-3")]
