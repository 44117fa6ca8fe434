"""Canonical JSON is the same bytes on every server, and what cannot be is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import BadJson, MatrixError, NotJson
from homeserver.events.canonical_json import (
    MAX_INTEGER,
    MAX_JSON_DEPTH,
    NotCanonicalJson,
    decode_json,
    encode_canonical,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data/vectors.json").read_text())

texts = st.text(st.characters(exclude_categories=["Cs"]))
integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
canonical_values = st.recursive(
    st.none() | st.booleans() | integers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


@pytest.mark.parametrize("vector", VECTORS["canonical_json"], ids=lambda vector: vector["canonical"][:30])
def test_the_specification_vectors(vector: dict[str, str]) -> None:
    value = decode_json(vector["input"])
    if vector["canonical"] == '{"a":0,"b":10000000000}':
        # COMPAT(Synapse): 1e10 counts as a float. Room versions from 6 on refuse it; before that it is
        # carried as Synapse and the Python reference write it, since everybody has hashed it that way.
        assert encode_canonical(value, strict=False) == b'{"a":0,"b":10000000000.0}'
        with pytest.raises(NotCanonicalJson):
            encode_canonical(value, strict=True)
        value["b"] = int(value["b"])
    assert encode_canonical(value, strict=True).decode() == vector["canonical"]


@given(canonical_values)
def test_decoding_undoes_encoding(value: Any) -> None:
    encoded = encode_canonical(value, strict=True)
    assert decode_json(encoded) == value
    assert encode_canonical(decode_json(encoded), strict=True) == encoded


@given(canonical_values)
def test_it_is_what_the_reference_implementation_writes(value: Any) -> None:
    reference = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    assert encode_canonical(value, strict=True) == reference
    assert encode_canonical(value, strict=False) == reference


@given(canonical_values)
def test_spaces_and_escapes_do_not_matter(value: Any) -> None:
    assert decode_json(json.dumps(value, indent=2)) == value


def test_keys_are_sorted_by_code_point() -> None:
    # In UTF-16 the astral key would come first.
    assert list(decode_json(encode_canonical({"\U0001f600": 1, "\ufb01": 2, "z": 3}, strict=True))) == [
        "z",
        "\ufb01",
        "\U0001f600",
    ]


def test_control_characters_are_escaped_as_briefly_as_possible() -> None:
    encoded = encode_canonical('\x00\b\t\n\f\r\x1f"\\/\x7f\u2028é', strict=True)
    assert encoded == '"\\u0000\\b\\t\\n\\f\\r\\u001f\\"\\\\/\x7f\u2028é"'.encode()


@pytest.mark.parametrize(
    "value",
    [1.0, 0.5, 1e300, MAX_INTEGER + 1, -MAX_INTEGER - 1, 10**40, [[{"a": [1.5]}]], {"a": {"b": 2**53}}],
)
def test_numbers_out_of_range_are_refused_only_where_that_is_enforced(value: Any) -> None:
    with pytest.raises(NotCanonicalJson):
        encode_canonical(value, strict=True)
    assert decode_json(encode_canonical(value, strict=False)) == value


@pytest.mark.parametrize("number", [1.0, 50.57, 1e16, 1e300, 1e-7, -0.0])
def test_floats_are_carried_as_python_writes_them(number: float) -> None:
    assert encode_canonical({"n": number}, strict=False) == b'{"n":%s}' % repr(number).encode()


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}], ids=repr)
def test_half_a_surrogate_pair_cannot_be_written(value: Any, strict: bool) -> None:
    with pytest.raises(NotCanonicalJson):
        encode_canonical(value, strict=strict)


@pytest.mark.parametrize("value", [[b"bytes"], {"a": {1, 2}}], ids=repr)
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(NotCanonicalJson):
        encode_canonical(value, strict=True)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"nan", b"NaN", b"{'a':1}", b'"\xff"', b'"\xed\xa0\x80"', b"01", b"1 2"]
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(NotJson):
        decode_json(data)


@pytest.mark.parametrize("data", [rb'"\ud800"', rb'{"\udc00":1}', rb'"\ud800\u0041"', '"\ud800"'])
def test_lone_surrogates_are_refused(data: bytes | str) -> None:
    with pytest.raises(MatrixError):
        decode_json(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"b":{"c":[{"d":1, "d":2}]}}',
        rb'{"a":1,"\u0061":1}',
        b'{"a":1e10,"a":1}',
        b'{"a":"\\":","a":1}',
    ],
)
def test_duplicate_keys_are_refused(data: bytes) -> None:
    with pytest.raises(BadJson):
        decode_json(data)


def test_colons_and_quotes_within_strings_are_no_keys() -> None:
    data = rb'{ "a:\":\\" : "b\"c\":{:}" , "d" : [":"] }'
    assert decode_json(data) == {'a:":\\': 'b"c":{:}', "d": [":"]}


def test_nesting_is_limited() -> None:
    assert decode_json("[" * MAX_JSON_DEPTH + "]" * MAX_JSON_DEPTH)
    assert decode_json("[" + "{}," * 500 + "{}]")
    for depth in (MAX_JSON_DEPTH + 2, 100_000):
        with pytest.raises(BadJson):
            decode_json('{"a":' * depth + "1" + "}" * depth)


def test_encoding_never_exhausts_the_stack() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(NotCanonicalJson):
        encode_canonical(value, strict=True)
