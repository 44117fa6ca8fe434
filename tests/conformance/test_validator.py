"""The validator itself: it knows all of the specification, and tells right answers from wrong ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.bundle import node_at
from tests.conformance.corrections import CORRECTIONS
from tests.conformance.specification import BASE_URI, operations, served
from tests.conformance.sync_events import check_sync_events
from tests.conformance.validator import Answer, Nonconforming, check_answer, schema_validator

EXAMPLES_WITH_REFERENCES = "$ref"


def answer(status: int, body: Any, **headers: str) -> Answer:
    return Answer(status, {"content-type": "application/json", **headers}, json.dumps(body).encode())


def test_the_specification_has_235_operations() -> None:
    assert len({operation.key for operation in operations()}) == 235
    assert len(operations("client-server")) == 166
    assert len(operations("server-server")) == 36


@pytest.mark.parametrize("api", ["client-server", "server-server", "application-service", "identity"])
def test_every_schema_compiles_and_allows_its_own_examples(api: str) -> None:
    checked = 0
    for operation in operations(api):
        for response in operation.responses.values():
            if response.schema_uri is None:
                continue
            validator = schema_validator(response.schema_uri)
            media = node_at(response.schema_uri.rsplit("/", 1)[0])
            for example in (media.get("examples") or {}).values():
                # Examples made of other examples would have to be put together first.
                if EXAMPLES_WITH_REFERENCES not in json.dumps(example):
                    validator.validate(example["value"])
                    checked += 1
    assert checked > 20


def test_every_correction_is_of_a_schema_that_exists() -> None:
    for correction in CORRECTIONS:
        node = node_at(BASE_URI + correction.place)
        assert correction.apply(node) != node, f"{correction.place} is right by now"
        assert correction.reason


@pytest.mark.parametrize(
    ("method", "path", "operation_id"),
    [
        ("PUT", "/_matrix/client/v3/rooms/!a:b/send/m.room.message/1", "sendMessage"),
        ("PUT", "/_matrix/client/r0/rooms/!a:b/send/m.room.message/1", "sendMessage"),
        ("GET", "/_matrix/client/v3/rooms/!a:b/state/m.room.name/", "getRoomStateWithKey"),
        ("GET", "/_matrix/client/v3/rooms/!a:b/state/m.room.name", "getRoomStateWithKey"),
        ("GET", "/_matrix/client/v3/rooms/!a:b/state", "getRoomState"),
        ("GET", "/_matrix/client/v3/pushrules/", "getPushRules"),
        ("GET", "/_matrix/client/v3/login/sso/redirect", "redirectToSSO"),
        ("GET", "/.well-known/matrix/client", "getWellknown"),
        ("GET", "/_matrix/federation/v1/event/$x", "getEvent"),
        ("GET", "/_matrix/key/v2/server", "getServerKey"),
    ],
)
def test_a_request_finds_its_operation(method: str, path: str, operation_id: str) -> None:
    assert [operation.operation_id for operation in served().find(method, path)] == [operation_id]


def test_right_answers_pass() -> None:
    (whoami,) = served().find("GET", "/_matrix/client/v3/account/whoami")
    check_answer(whoami, answer(200, {"user_id": "@alice:example.org", "device_id": "ABC"}))
    check_answer(whoami, answer(401, {"errcode": "M_UNKNOWN_TOKEN", "error": "no such token"}))
    limited = {"errcode": "M_LIMIT_EXCEEDED", "error": "slow down", "retry_after_ms": 5}
    check_answer(whoami, answer(429, limited, **{"retry-after": "1"}))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (answer(200, {"device_id": "ABC"}), "user_id"),
        (answer(200, {"user_id": 5}), "user_id"),
        (answer(200, {"user_id": "alice"}), "user_id"),
        (answer(200, []), "the whole body"),
        (answer(201, {"user_id": "@alice:example.org"}), "declares"),
        (answer(302, {}), "declares"),
        (answer(500, {"errcode": "M_UNKNOWN", "error": "oops"}), "500"),
        (answer(404, {"error": "nothing"}), "errcode"),
        (answer(404, {"errcode": "M_NOT_FOUND"}), "what is wrong"),
        (answer(404, {"errcode": "not found", "error": "nothing"}), "no error code"),
        (Answer(404, {"content-type": "text/html"}, b"<h1>Not found</h1>"), "text/html"),
        (Answer(200, {"content-type": "text/plain"}, b"{}"), "text/plain"),
        (Answer(200, {"content-type": "application/json"}, b"{"), "column 2"),
        (answer(429, {"errcode": "M_LIMIT_EXCEEDED", "error": "slow down"}), "Retry-After"),
    ],
)
def test_wrong_answers_are_told(wrong: Answer, says: str) -> None:
    (whoami,) = served().find("GET", "/_matrix/client/v3/account/whoami")
    with pytest.raises(Nonconforming, match=says):
        check_answer(whoami, wrong)


def test_what_the_server_writes_into_sync_is_checked_by_its_type() -> None:
    typing = {"type": "m.typing", "content": {"user_ids": ["@alice:example.org"]}}
    room = {"ephemeral": {"events": [typing]}}
    check_sync_events({"next_batch": "1", "rooms": {"join": {"!a:b": room}}})
    typing["content"] = {"users": []}
    with pytest.raises(Nonconforming, match="user_ids"):
        check_sync_events({"next_batch": "1", "rooms": {"join": {"!a:b": room}}})
    with pytest.raises(Nonconforming, match="presence"):
        check_sync_events({"presence": {"events": [{"type": "m.presence", "sender": "@a:b", "content": {}}]}})
