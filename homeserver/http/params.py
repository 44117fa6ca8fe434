"""How a handler's parameters are filled from a request, worked out once per handler from its annotations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NewType, get_args, get_origin, get_type_hints
from urllib.parse import unquote_to_bytes

import msgspec

from homeserver import ids
from homeserver.errors import BadJson, InvalidParam, MissingParam
from homeserver.http.body import convert_body, parse_object
from homeserver.http.refusals import validation_message

Parser = Callable[[str], Any]

_IDENTIFIERS: dict[Any, Parser] = {
    ids.UserID: ids.parse_user_id,
    ids.RoomID: ids.parse_room_id,
    ids.EventID: ids.parse_event_id,
    ids.RoomAlias: ids.parse_room_alias,
    ids.ServerName: ids.parse_server_name,
}
MAX_INTEGER = 2**53 - 1
MAX_REMEMBERED = 512
"""The longest text whose decoded form is remembered."""
RESERVED = frozenset({"who", "origin", "body", "query", "request"})


class Parameters:
    """What a handler asks for, and how to make it.

    `path` has the parsers of the path's parameters by name (None where the text itself is wanted).
    """

    __slots__ = ("body", "optional", "path", "query", "wants_origin", "wants_request", "wants_who")

    def __init__(self, handler: Callable[..., Any]) -> None:
        hints = get_type_hints(handler)
        signature = inspect.signature(handler).parameters
        self.wants_who = "who" in signature
        self.wants_origin = "origin" in signature
        self.wants_request = "request" in signature
        self.query = QueryShape(hints["query"]) if "query" in signature else None
        self.body = BodyShape(hints["body"]) if "body" in signature else None
        self.path = {name: path_parser(name, hints[name]) for name in signature if name not in RESERVED}
        self.optional = frozenset(
            name for name in self.path if signature[name].default is not inspect.Parameter.empty
        )


def path_parser(name: str, annotation: Any) -> Parser | None:
    """The function that turns a path segment into a parameter."""
    if annotation in _IDENTIFIERS:
        return _IDENTIFIERS[annotation]
    if _base(annotation) is str:
        return None

    def parse(text: str) -> Any:
        try:
            value = msgspec.convert(text, annotation, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidParam(validation_message(error, where=name)) from None
        _check_integer(name, value)
        return value

    return parse


def decode_segment(raw: str) -> str:
    """A path segment or query value without its percent-encoding.

    Raises:
        InvalidParam: it is not UTF-8.
    """
    if "%" not in raw:
        return raw
    try:
        return _decoded(raw) if len(raw) <= MAX_REMEMBERED else unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidParam(f"{raw!r} is not UTF-8") from None


@lru_cache(maxsize=2048)
def _decoded(raw: str) -> str:
    # Room IDs and filters come again and again in the same words; to decode a filter costs as much as to poll.
    return unquote_to_bytes(raw).decode("utf-8")


def parse_query(raw: str) -> list[tuple[str, str]]:
    """The parameters of a query string, in order."""
    pairs = []
    for pair in raw.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            if "+" in pair:
                name, value = name.replace("+", " "), value.replace("+", " ")
            if "%" in pair:
                name, value = decode_segment(name), decode_segment(value)
            pairs.append((name, value))
    return pairs


class QueryShape:
    """A struct whose fields are query parameters. Of a repeated one that is no list, the first counts."""

    __slots__ = ("_identifiers", "_integers", "_lists", "_names", "_shape")

    def __init__(self, shape: type[msgspec.Struct]) -> None:
        fields = msgspec.structs.fields(shape)
        self._shape = shape
        self._names = frozenset(field.encode_name for field in fields)
        self._lists = frozenset(field.encode_name for field in fields if _is_list(field.type))
        self._identifiers = _identifier_fields(shape)
        self._integers = _integer_fields(shape)

    def parse(self, raw: str) -> Any:
        """The struct for a query string.

        Raises:
            MissingParam: a required parameter is not there.
            InvalidParam: one has the wrong form.
        """
        values: dict[str, Any] = {}
        if raw:
            names, lists = self._names, self._lists
            for name, value in parse_query(raw):
                if name in lists:
                    values.setdefault(name, []).append(value)
                elif name in names and name not in values:
                    values[name] = value
        try:
            query = msgspec.convert(values, self._shape, strict=False)
        except msgspec.ValidationError as error:
            message = validation_message(error, where="query parameter")
            if "missing required field" in message:
                raise MissingParam(message) from None
            raise InvalidParam(message) from None
        if self._identifiers:
            _check_identifiers(query, self._identifiers)
        if self._integers:
            _check_integers(query, self._integers)
        return query


class BodyShape:
    """A struct (or any JSON object) that a body must be."""

    __slots__ = ("_any_object", "_identifiers", "_integers", "_may_be_absent", "_shape")

    def __init__(self, shape: Any) -> None:
        self._shape = shape
        self._any_object = shape is dict or get_origin(shape) is dict
        is_struct = isinstance(shape, type) and issubclass(shape, msgspec.Struct)
        self._may_be_absent = is_struct and not any(field.required for field in msgspec.structs.fields(shape))
        self._identifiers = _identifier_fields(shape) if is_struct else {}
        self._integers = _integer_fields(shape) if is_struct else ()

    def parse(self, data: bytes) -> Any:
        """The body as the handler wants it.

        COMPAT(clients): where every field is optional, many clients send no body at all instead of `{}`.

        Raises:
            NotJson: it is no JSON.
            BadJson: it is JSON of another shape.
        """
        value = parse_object(data) if data or not self._may_be_absent else {}
        if self._any_object:
            return value
        body = convert_body(value, self._shape)
        if self._identifiers or self._integers:
            try:
                _check_identifiers(body, self._identifiers)
                _check_integers(body, self._integers)
            except InvalidParam as error:
                raise BadJson(error.error, errcode=error.code) from None
        return body


def _base(annotation: Any) -> Any:
    while isinstance(annotation, NewType):
        annotation = annotation.__supertype__
    return annotation


def _is_list(annotation: Any) -> bool:
    if get_origin(annotation) in (list, tuple, set, frozenset):
        return True
    return any(_is_list(part) for part in get_args(annotation))


def _identifier_fields(shape: type[msgspec.Struct]) -> dict[str, Parser]:
    """The fields that are Matrix identifiers: msgspec only sees strings in them."""
    fields = {}
    for name, hint in get_type_hints(shape).items():
        for part in (hint, *get_args(hint)):
            if isinstance(part, NewType) and part in _IDENTIFIERS and get_origin(hint) not in (list, dict):
                fields[name] = _IDENTIFIERS[part]
    return fields


def _check_identifiers(struct: Any, fields: Mapping[str, Parser]) -> None:
    for name, parse in fields.items():
        value = getattr(struct, name)
        if type(value) is str:
            parse(value)


def _integer_fields(shape: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(
        name
        for name, hint in get_type_hints(shape).items()
        if int in (_base(hint), *map(_base, get_args(hint)))
    )


def _check_integers(struct: Any, fields: tuple[str, ...]) -> None:
    for name in fields:
        _check_integer(name, getattr(struct, name))


def _check_integer(name: str, value: Any) -> None:
    """Refuse integers that Matrix does not have; neither have databases those beyond 2^63."""
    if type(value) is int and not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise InvalidParam(f"{name}: {value} is not between -2^53 and 2^53")
