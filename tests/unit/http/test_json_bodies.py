"""Strict JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import BadJson, NotJson
from homeserver.http.body import MAX_DEPTH, parse_json, parse_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_whatever_json_says_is_read(value: Any, ascii_only: bool, indent: int | str | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert parse_json(text.encode("utf-8", "surrogatepass")) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":1} x',
        b"\xef\xbb\xbf{}",
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":{"b":1,"c":[{"d":1,"d":2}]}}',
        b'{"a":"\\":","a" : 1}',
        b'{"":1,"":2}',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'{"\\ud800":1}',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\xc0\x80"',
        b'"\n"',
        b"NaN",
        b"Infinity",
        b"[1e999]",
        b"01",
        b"1.",
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
        b"[" * 100_000,
    ],
)
def test_what_is_no_json_or_ambiguous_is_refused(text: bytes) -> None:
    with pytest.raises(NotJson):
        parse_json(text)


@given(VALUES, st.text(max_size=3), st.data())
def test_a_key_that_is_said_twice_is_refused_wherever_it_stands(
    value: Any, key: str, data: st.DataObject
) -> None:
    def spoil(inner: Any) -> str:
        """The value's text, with an object in it that says `key` twice."""
        if isinstance(inner, list) and inner:
            at = data.draw(st.integers(0, len(inner) - 1))
            return "[" + ",".join(spoil(v) if n == at else json.dumps(v) for n, v in enumerate(inner)) + "]"
        if isinstance(inner, dict) and inner:
            at = data.draw(st.sampled_from(sorted(inner)))
            return (
                "{"
                + ",".join(
                    f"{json.dumps(k)}:{spoil(v) if k == at else json.dumps(v)}" for k, v in inner.items()
                )
                + "}"
            )
        return f"{{{json.dumps(key)}:{json.dumps(inner)},{json.dumps(key)}:1}}"

    with pytest.raises(NotJson):
        parse_json(spoil(value).encode())


def test_numbers_are_kept_for_the_event_layer_to_judge() -> None:
    assert parse_json(b"[9007199254740993, 1e2, 123456789012345678901234567890]") == [
        9007199254740993,
        100.0,
        123456789012345678901234567890,
    ]


def test_the_deepest_allowed_nesting_is_read() -> None:
    parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_a_body_must_be_an_object() -> None:
    assert parse_object(b'{"a":1}') == {"a": 1}
    with pytest.raises(BadJson):
        parse_object(b"[]")
