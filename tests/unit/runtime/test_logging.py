"""Log lines say what happened, for which request, and no secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
import structlog

from homeserver.runtime.context import enter_request, request_id, within_request
from homeserver.runtime.logging import hide_secrets, set_up_logging


class _Lines(BytesIO):
    def read_all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def lines() -> Iterator[_Lines]:
    stream = _Lines()
    before = structlog.get_config()
    handlers, level = logging.root.handlers[:], logging.root.level
    set_up_logging(json=True, stream=stream)
    yield stream
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_a_line_has_the_request(lines: _Lines) -> None:
    log = structlog.get_logger("test")
    with within_request("PUT-7"):
        log.info("hello", room="!r:here")
    log.debug("too fine")
    (line,) = lines.read_all()
    assert (line["event"], line["room"], line["request"], line["level"]) == (
        "hello",
        "!r:here",
        "PUT-7",
        "info",
    )
    assert request_id() == "-"


def test_exceptions_are_told(lines: _Lines) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        structlog.get_logger().exception("it failed")
    assert "ValueError: no" in lines.read_all()[0]["exception"]


def test_libraries_come_the_same_way(lines: _Lines) -> None:
    logging.getLogger("some.library").warning("beware of %s", "dogs")
    (line,) = lines.read_all()
    assert (line["event"], line["source"], line["level"]) == ("beware of dogs", "some.library", "warning")


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "access_token",
        "new_password",
        "refresh_token",
        "macaroon_secret",
        "Authorization",
        "token",
    ],
)
def test_values_with_secret_names_are_hidden(lines: _Lines, key: str) -> None:
    structlog.get_logger().info("login", **{key: "hunter2", "user": "@a:here"})
    assert b"hunter2" not in lines.getvalue()
    assert b"@a:here" in lines.getvalue()


def test_secrets_are_hidden_in_exceptions(lines: _Lines) -> None:
    try:
        raise ValueError("cannot GET /sync?access_token=hunter2&since=s1")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert b"hunter2" not in lines.getvalue()
    assert b"since=s1" in lines.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET /sync?access_token=syt_abc&since=3", "GET /sync?access_token=<hidden>&since=3"),
        ("Authorization: Bearer syt_abcdef", "Authorization: Bearer <hidden>"),
        ('{"password": "hunter2", "user": "a"}', '{"password": "<hidden>", "user": "a"}'),
        ("postgres://hearth:hunter2@db/hearth", "postgres://hearth:<hidden>@db/hearth"),
        ("?loginToken=abc", "?loginToken=<hidden>"),
        ("a room about tokens and secrets", "a room about tokens and secrets"),
    ],
)
def test_hiding(text: str, expected: str) -> None:
    assert hide_secrets(text) == expected


def test_a_line_for_the_eye() -> None:
    stream = BytesIO()
    before = structlog.get_config()
    handlers, level = logging.root.handlers[:], logging.root.level
    set_up_logging(stream=stream, level="debug")
    structlog.get_logger().debug("hello", number=1)
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    assert b"hello" in stream.getvalue()
    assert b"number=1" in stream.getvalue()


def test_entering_a_request_lasts_for_the_context() -> None:
    import contextvars

    def within() -> str:
        enter_request("GET-9")
        return request_id()

    assert contextvars.copy_context().run(within) == "GET-9"
    assert request_id() == "-"
