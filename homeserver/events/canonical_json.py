"""Canonical JSON, and the strict parser in front of it.

What is hashed and signed is always the re-encoded value, never the bytes that were received.
Spec: https://spec.matrix.org/v1.19/appendices/#canonical-json
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from homeserver.errors import BadJson, InvalidEvent, NotJson

MAX_INTEGER = 2**53 - 1
MIN_INTEGER = -MAX_INTEGER
MAX_JSON_DEPTH = 100
"""How deeply arrays and objects may nest. The spec names no limit; recursion would."""

_encode = msgspec.json.Encoder(order="sorted").encode
_encode_unsorted = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')


class NotCanonicalJson(InvalidEvent):
    """The value cannot be written as canonical JSON: a float, a big integer, half a surrogate pair."""


def encode_canonical(value: Any, *, strict: bool) -> bytes:
    """The canonical JSON of `value`.

    Room versions 1 to 5 do not enforce the rules for numbers: with `strict=False` floats and big integers are
    carried unchanged.

    Raises:
        NotCanonicalJson: the value breaks a rule.
    """
    try:
        if strict:
            check_canonical(value)
            return _encode(value)
        if _holds_float(value):
            # COMPAT(Synapse): it hashes a float as Python writes it, so every other form is another event.
            text = json.dumps(
                value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
            )
            return text.encode()
        return _encode(value)
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError) as error:
        raise NotCanonicalJson(f"not canonical JSON: {error}") from error


def encode_checked(value: Any) -> bytes:
    """The canonical JSON of a value that is known to be free of floats, such as one that has been checked."""
    return _encode(value)


def check_canonical(value: Any) -> None:
    """Whether every number in `value` is an integer that canonical JSON can carry.

    Raises:
        NotCanonicalJson: it is not.
    """
    pending = [value]
    while pending:
        item = pending.pop()
        kind = type(item)
        if kind is dict:
            for member in item.values():
                if type(member) is not str:
                    pending.append(member)
        elif kind is list or kind is tuple:
            for member in item:
                if type(member) is not str:
                    pending.append(member)
        elif kind is int:
            if not MIN_INTEGER <= item <= MAX_INTEGER:
                raise NotCanonicalJson("an integer is out of the range of canonical JSON")
        elif kind is float:
            raise NotCanonicalJson(f"{item} is a float, which canonical JSON does not have")
        elif item is not None and kind is not bool and kind is not str:
            raise NotCanonicalJson(f"{kind.__name__} is not a type of JSON")


def decode_json(data: bytes | str) -> Any:
    """Parse JSON as strictly as hashing demands: no duplicate keys, no lone surrogates, no depths.

    Floats and big integers survive, for the room version to judge.

    Raises:
        NotJson: the bytes are no JSON.
        BadJson: they are JSON that no two servers would read alike.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    try:
        value = _decode(raw)
    except RecursionError as error:
        raise BadJson("the JSON is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(f"not JSON: {error}") from error
    if raw.count(b"{") + raw.count(b"[") > MAX_JSON_DEPTH:
        _check_depth(value)
    written = _encode_unsorted(value)
    # The usual case is JSON without spaces, which then comes out as it went in; otherwise count the keys.
    if written != raw and _has_lost_keys(raw, written):
        raise BadJson("an object in the JSON has the same key twice")
    return value


def _has_lost_keys(raw: bytes, written: bytes) -> bool:
    if b"\\" not in raw:
        # Every string has two quotes and no more: a key that is lost takes its own with it.
        return written.count(b'"') != raw.count(b'"')
    return _count_keys(written) != _count_keys(raw)


def _count_keys(data: bytes) -> int:
    return _STRING.sub(b"", data).count(b":")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        inner: list[Any] = []
        for item in level:
            if type(item) is dict:
                inner.extend(member for member in item.values() if type(member) in (dict, list))
            elif type(item) is list:
                inner.extend(member for member in item if type(member) in (dict, list))
        if not inner:
            return
        level = inner
    raise BadJson(f"the JSON is nested more than {MAX_JSON_DEPTH} levels deep")


def _holds_float(value: Any) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        kind = type(item)
        if kind is dict:
            pending.extend(item.values())
        elif kind is list or kind is tuple:
            pending.extend(item)
        elif kind is float:
            return True
    return False
