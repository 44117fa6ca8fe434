"""Too much of anything is refused, changes nothing, and leaves the server as it was."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.http.endpoint import Auth
from tests.conformance.declared import served_endpoints
from tests.conformance.test_gates import path_of
from tests.harness.client import segment
from tests.harness.server import Server

V1 = "/_matrix/client/v1"


async def test_a_body_of_more_than_an_endpoint_takes(quick_server: Server) -> None:
    """The server says so from the length alone, without reading it."""
    admin = await quick_server.admin()
    wrong = []
    for endpoint in served_endpoints():
        declaration = endpoint.declaration
        if declaration.streams or declaration.auth in (Auth.FEDERATION, Auth.APPSERVICE):
            continue
        if declaration.method not in ("POST", "PUT"):
            continue
        large = b'{"x": "' + b"x" * declaration.max_body + b'"}'
        answer = await admin.ask(declaration.method, path_of(endpoint), raw=large)
        if (answer.status, answer.errcode) != (413, "M_TOO_LARGE"):
            wrong.append(f"{declaration.method} {declaration.path}: {answer.status} {answer.errcode}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/profile/{me}/displayname", {"displayname": "x" * 70_000}),
        ("PUT", "/profile/{me}/org.example", {"org.example": "x" * 70_000}),
        ("PUT", "/profile/{me}/" + "k" * 300, {"k" * 300: "x"}),
        ("PUT", "/devices/{device}", {"display_name": "x" * 1000}),
        ("PUT", "/user/{me}/account_data/" + "t" * 300, {}),
        ("PUT", "/user/{me}/rooms/{room}/tags/" + "u." + "t" * 300, {}),
        ("PUT", "/pushrules/global/content/" + "r" * 300, {"pattern": "x", "actions": []}),
        ("PUT", "/pushrules/global/content/r", {"pattern": "x" * 10_000, "actions": []}),
        ("PUT", "/pushrules/global/override/r", {"conditions": [{"kind": "x"}] * 10_000, "actions": []}),
        ("POST", "/user/{me}/filter", {"room": {"rooms": ["!x:y"] * 20_000}}),
        ("PUT", "/rooms/{room}/send/m.room.message/" + "t" * 10_000, {"body": "x"}),
        ("PUT", "/rooms/{room}/send/" + "t" * 256 + "/1", {"body": "x"}),
        ("PUT", "/rooms/{room}/send/m.room.message/2", {"body": "x" * 65_536}),
        ("PUT", "/rooms/{room}/state/m.room.topic/" + "s" * 256, {"topic": "x"}),
        ("POST", "/createRoom", {"name": "x" * 70_000}),
        ("POST", "/createRoom", {"room_alias_name": "x" * 300}),
        ("POST", "/createRoom", {"invite": [f"@u{number}:one.test" for number in range(20_000)]}),
        ("PUT", "/directory/room/%23" + "a" * 300 + ":one.test", {"room_id": "{room}"}),
        ("POST", "/rooms/{room}/invite", {"user_id": "@" + "a" * 300 + ":one.test"}),
        ("POST", "/join/%23" + "a" * 300 + ":one.test", {}),
        ("PUT", "/sendToDevice/" + "t" * 300 + "/1", {"messages": {}}),
        (
            "POST",
            "/pushers/set",
            {
                "kind": "http",
                "app_id": "a",
                "pushkey": "k" * 600,
                "app_display_name": "a",
                "device_display_name": "d",
                "lang": "en",
                "data": {"url": "https://p.test/_matrix/push/v1/notify"},
            },
        ),
        ("POST", "/delete_devices", {"devices": ["D" * 600] * 400}),
    ],
)
async def test_more_than_makes_sense(
    quick_server: Server, method: str, path: str, body: dict[str, Any]
) -> None:
    alice = await quick_server.user("alice")
    room = await alice.creates_room()
    await alice.syncs()
    names = {"{me}": alice.user_id, "{room}": segment(room), "{device}": alice.device_id}
    for name, value in names.items():
        path = path.replace(name, value)
    answer = await alice.ask(method, path, body)
    assert 400 <= answer.status < 500, f"{answer.status} {answer.body[:300]!r}"


@pytest.mark.parametrize(
    "path",
    [
        "/rooms/{room}/messages?dir=b&limit=1000000000",
        "/rooms/{room}/context/{event}?limit=1000000000",
        V1 + "/rooms/{room}/relations/{event}?limit=1000000000",
        V1 + "/rooms/{room}/threads?limit=1000000000",
        V1 + "/rooms/{room}/hierarchy?limit=1000000000&max_depth=1000000000",
        "/publicRooms?limit=1000000000",
        "/notifications?limit=1000000000",
        "/sync?timeout=0&filter=%7B%22room%22%3A%7B%22timeline%22%3A%7B%22limit%22%3A1000000000%7D%7D%7D",
    ],
)
async def test_who_asks_for_too_much_gets_what_there_is(quick_server: Server, path: str) -> None:
    alice = await quick_server.user("alice")
    room = await alice.creates_room()
    event = await alice.says(room, "hello")
    answer = await alice.ask("GET", path.format(room=segment(room), event=segment(event)))
    assert answer.status in (200, 400)


async def test_a_nest_of_a_thousand(quick_server: Server) -> None:
    alice = await quick_server.user("alice")
    room = segment(await alice.creates_room())
    nest = b"[" * 1000 + b"]" * 1000
    for method, path, body in (
        ("PUT", f"/rooms/{room}/send/m.room.message/1", b'{"x":' + nest + b"}"),
        ("PUT", f"/user/{alice.user_id}/account_data/org.example", b'{"x":' + nest + b"}"),
        ("POST", f"/user/{alice.user_id}/filter", b'{"x":' + nest + b"}"),
        ("POST", "/createRoom", b'{"creation_content":{"x":' + nest + b"}}"),
        ("POST", "/login", b'{"type":"x","identifier":{"x":' + nest + b"}}"),
        ("PUT", "/pushrules/global/override/x", b'{"actions":[],"conditions":' + nest + b"}"),
        ("POST", "/search", b'{"search_categories":{"x":' + nest + b"}}"),
    ):
        answer = await alice.ask(method, path, raw=body)
        assert (answer.status, answer.errcode) in ((400, "M_BAD_JSON"), (400, "M_NOT_JSON")), path


async def test_a_search_for_very_many_words(quick_server: Server) -> None:
    alice = await quick_server.user("alice")
    room = await alice.creates_room()
    words = " ".join(f"word{number}" for number in range(60))
    said = await alice.says(room, words)
    await quick_server.passes(1)
    term = {"search_term": f"{words} " + "more " * 20_000}
    answer = await alice.request("POST", "/search", {"search_categories": {"room_events": term}})
    (found,) = answer["search_categories"]["room_events"]["results"]
    assert found["result"]["event_id"] == said
