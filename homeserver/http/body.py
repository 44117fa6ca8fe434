"""Strict JSON bodies: what two parsers might read differently is refused before anybody reads it.

Refused are duplicate keys, invalid UTF-8, lone surrogates, `NaN`, trailing data and nesting deeper than
`MAX_DEPTH`. Floats and integers beyond 2^53 are kept as they are: whether an event may carry them is up to
its room version.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from homeserver.errors import BadJson, NotJson
from homeserver.http.refusals import validation_message

MAX_DEPTH = 100

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
# Every string of a valid document, and the colon after those that are keys.
_strings = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"[ \t\r\n]*(:?)', re.DOTALL).findall


def parse_json(data: bytes) -> Any:
    """The value of a JSON document.

    Raises:
        NotJson: it is no JSON, or ambiguous JSON.
    """
    try:
        value = _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotJson(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise NotJson("the body is nested too deeply") from None
    kind = type(value)
    if kind is dict or kind is list:
        keys = _count_keys(value, MAX_DEPTH)
        # A dict has one entry per key; the text has one colon for each time that a key is written, and
        # perhaps others.
        if data.count(b":") != keys and _has_duplicates(data, value, keys):
            raise NotJson("the body has an object with duplicate keys")
    return value


def _has_duplicates(data: bytes, value: Any, keys: int) -> bool:
    if b"\\" not in data:
        # Every string has two quotes and no more: an entry that was overwritten takes those of its key with it.
        # Keys that name users or keys have colons, and searching for strings costs ten times as much as this.
        return data.count(b'"') != _encode(value).count(b'"')
    return _strings(data).count(b":") != keys


def _count_keys(value: Any, depth: int) -> int:
    """The number of entries in all objects of a document."""
    if not depth:
        raise NotJson(f"the body is nested deeper than {MAX_DEPTH}")
    keys = 0
    if type(value) is dict:
        keys = len(value)
        value = value.values()
    for item in value:
        kind = type(item)
        if kind is dict or kind is list:
            keys += _count_keys(item, depth - 1)
    return keys


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object that a body must be."""
    value = parse_json(data)
    if type(value) is not dict:
        raise BadJson("the body must be a JSON object")
    return value


def convert_body(value: Any, shape: Any) -> Any:
    """A parsed body as the struct that a handler asks for."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise BadJson(validation_message(error, where="body")) from None
