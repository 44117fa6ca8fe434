"""Finding the handler for a path."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import BadJson, InvalidParam, MatrixError, MissingParam, Unrecognized
from homeserver.http.endpoint import Auth, declarations, endpoint
from homeserver.http.params import BodyShape, QueryShape
from homeserver.http.rate_limit import Unlimited
from homeserver.http.responses import Empty
from homeserver.http.router import Router, path_arguments
from homeserver.ids import RoomID, UserID


class State:
    @endpoint(
        "GET",
        "/rooms/{room_id}/state/{type}/{state_key}",
        auth=Auth.NONE,
        aliases=("/rooms/{room_id}/state/{type}",),
    )
    @endpoint("PUT", "/rooms/{room_id}/state/{type}/{state_key}", auth=Auth.NONE)
    async def state(self, room_id: RoomID, type: str, state_key: str = "") -> Empty:
        return Empty()

    @endpoint("GET", "/rooms/{room_id}/state", auth=Auth.NONE)
    async def all_state(self, room_id: RoomID) -> Empty:
        return Empty()

    @endpoint("GET", "/rooms/joined/{number}", auth=Auth.NONE)
    async def literal(self, number: int) -> Empty:
        return Empty()

    @endpoint("GET", "/files/{path...}", auth=Auth.NONE)
    async def files(self, path: str) -> Empty:
        return Empty()

    @endpoint("GET", "/files/{kind}/thumbnail", auth=Auth.NONE)
    async def thumbnail(self, kind: Literal["crop", "scale"]) -> Empty:
        return Empty()


def router_of(*handlers: object) -> Router:
    return Router(handlers, {}, Unlimited())


ROUTER = router_of(State())


def arguments_of(method: str, path: str) -> tuple[str, dict[str, Any]]:
    route, values = ROUTER.find(method, path)
    return route.declaration.operation, path_arguments(route, values)


@pytest.mark.parametrize(
    ("method", "path", "operation", "arguments"),
    [
        ("GET", "/rooms/!r:a/state/t/k", "state", {"room_id": "!r:a", "type": "t", "state_key": "k"}),
        ("GET", "/rooms/!r:a/state/t/", "state", {"room_id": "!r:a", "type": "t", "state_key": ""}),
        ("GET", "/rooms/!r:a/state/t", "state", {"room_id": "!r:a", "type": "t"}),
        ("PUT", "/rooms/!r:a/state/t/k", "state", {"room_id": "!r:a", "type": "t", "state_key": "k"}),
        ("GET", "/rooms/%21r%2F%3Aa/state/a%2fb", "state", {"room_id": "!r/:a", "type": "a/b"}),
        ("GET", "/rooms/!r/state", "all_state", {"room_id": "!r"}),
        ("GET", "/rooms/joined/7", "literal", {"number": 7}),
        ("HEAD", "/rooms/joined/7", "literal", {"number": 7}),
        ("GET", "/files/a/b%20c/", "files", {"path": "a/b c/"}),
        ("GET", "/files/crop/thumbnail", "thumbnail", {"kind": "crop"}),
    ],
)
def test_a_path_leads_to_its_handler(
    method: str, path: str, operation: str, arguments: dict[str, Any]
) -> None:
    assert arguments_of(method, path) == (operation, arguments)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/rooms", 404),
        ("GET", "/rooms//state", 404),
        ("GET", "/rooms/!r:a/state//k", 404),
        ("GET", "/rooms/!r:a/state/t/k/more", 404),
        ("GET", "/rooms/!r:a/", 404),
        ("PUT", "/rooms/!r:a/state/t", 405),
        ("DELETE", "/rooms/joined/7", 405),
        ("HEAD", "*", 404),
    ],
)
def test_where_nothing_is_served(method: str, path: str, status: int) -> None:
    with pytest.raises(Unrecognized) as refused:
        ROUTER.find(method, path)
    assert refused.value.http_status == status


@pytest.mark.parametrize(
    "path", ["/rooms/joined/seven", "/rooms/r/state", "/files/square/thumbnail", "/rooms/%ff/state"]
)
def test_a_parameter_of_the_wrong_form_is_refused(path: str) -> None:
    with pytest.raises(InvalidParam):
        arguments_of("GET", path)


def test_a_literal_with_another_method_does_not_hide_a_parameter() -> None:
    class Profile:
        @endpoint("GET", "/profile/{user_id}/displayname", auth=Auth.NONE)
        async def name(self, user_id: UserID) -> Empty:
            return Empty()

        @endpoint("PUT", "/profile/{user_id}/{field}", auth=Auth.NONE)
        async def put(self, user_id: UserID, field: str) -> Empty:
            return Empty()

    router = router_of(Profile())
    assert router.find("PUT", "/profile/@a:b/displayname")[0].declaration.operation == "put"
    assert router.find("GET", "/profile/@a:b/displayname")[0].declaration.operation == "name"
    assert router.methods("/profile/@a:b/displayname") == ["GET", "PUT"]


def test_mistakes_are_found_at_start() -> None:
    class Twice:
        @endpoint("GET", "/a/{x}", auth=Auth.NONE)
        async def one(self, x: str) -> Empty:
            return Empty()

        @endpoint("GET", "/a/{y}", auth=Auth.NONE)
        async def two(self, y: str) -> Empty:
            return Empty()

    class Misspelt:
        @endpoint("GET", "/a/{room}", auth=Auth.NONE)
        async def one(self, room_id: RoomID) -> Empty:
            return Empty()

    class Unguarded:
        @endpoint("GET", "/a")
        async def one(self) -> Empty:
            return Empty()

    for wrong in (Twice(), Misspelt(), Unguarded()):
        with pytest.raises(ValueError, match=r"."):
            router_of(wrong)


def test_every_declaration_is_listed_once() -> None:
    assert sorted(declaration.operation for declaration, _ in declarations(State)) == [
        "all_state",
        "files",
        "literal",
        "state",
        "state",
        "thumbnail",
    ]


SEGMENTS = st.sampled_from(["a", "b", "c"])
PATTERNS = st.lists(SEGMENTS | st.just("{}"), min_size=1, max_size=4).map(tuple)


@given(st.lists(PATTERNS, min_size=1, max_size=8, unique=True), st.lists(SEGMENTS, min_size=1, max_size=4))
def test_the_trie_agrees_with_trying_every_pattern(patterns: list[tuple[str, ...]], path: list[str]) -> None:
    holder = type("Holder", (), {})
    for number, pattern in enumerate(patterns):
        names = [f"p{place}" for place, part in enumerate(pattern) if part == "{}"]
        text = "/" + "/".join(f"{{p{place}}}" if part == "{}" else part for place, part in enumerate(pattern))
        scope: dict[str, Any] = {}
        exec(f"async def h{number}(self, {', '.join(f'{name}: str' for name in names)}): pass", scope)
        setattr(holder, f"h{number}", endpoint("GET", text, auth=Auth.NONE)(scope[f"h{number}"]))
    router = router_of(holder())

    matching = [
        pattern
        for pattern in patterns
        if len(pattern) == len(path)
        and all(part in ("{}", one) for part, one in zip(pattern, path, strict=True))
    ]
    text = "/" + "/".join(path)
    if not matching:
        with pytest.raises(Unrecognized):
            router.find("GET", text)
        return
    # Where several match, the one whose first difference is a literal.
    best = min(matching, key=lambda pattern: [part == "{}" for part in pattern])
    route, values = router.find("GET", text)
    assert route.declaration.operation == f"h{patterns.index(best)}"
    assert values == [one for part, one in zip(best, path, strict=True) if part == "{}"]


class Filtered(msgspec.Struct):
    room: RoomID
    dir: Literal["b", "f"]
    start: str | None = msgspec.field(name="from", default=None)
    limit: int = 10
    full: bool = False
    via: list[str] = []


def test_a_query_becomes_a_struct() -> None:
    query = QueryShape(Filtered).parse("room=!r&dir=b&from=a%2Bb+c&full=true&limit=3&via=x&limit=4&via=y&&=")
    assert query == Filtered(RoomID("!r"), "b", "a+b c", 3, True, ["x", "y"])


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        ("dir=b", MissingParam),
        ("room=!r", MissingParam),
        ("room=!r&dir=x", InvalidParam),
        ("room=r&dir=b", InvalidParam),
        ("room=!r&dir=b&limit=", InvalidParam),
        ("room=!r&dir=b&limit=1.5", InvalidParam),
        ("room=!r&dir=b&full=maybe", InvalidParam),
        ("room=!r&dir=b&limit=9223372036854775808", InvalidParam),
        ("room=!r&dir=b&limit=-9007199254740992", InvalidParam),
    ],
)
def test_a_query_of_the_wrong_form_is_refused(raw: str, refusal: type[MatrixError]) -> None:
    with pytest.raises(refusal):
        QueryShape(Filtered).parse(raw)


class Invite(msgspec.Struct):
    user_id: UserID
    reason: str | None = None


class Leave(msgspec.Struct):
    reason: str | None = None
    at: int | None = None


def test_a_body_becomes_a_struct() -> None:
    assert BodyShape(Invite).parse(b'{"user_id":"@a:b","more":1}') == Invite(UserID("@a:b"))
    assert BodyShape(Leave).parse(b"") == Leave()
    assert BodyShape(Leave).parse(b'{"at":9007199254740991}') == Leave(at=2**53 - 1)
    with pytest.raises(BadJson):
        BodyShape(Leave).parse(b'{"at":9007199254740992}')
    for wrong in (b'{"user_id":"a"}', b'{"user_id":1}', b"{}", b'{"user_id":"@a:b","reason":2}'):
        with pytest.raises(BadJson):
            BodyShape(Invite).parse(wrong)
