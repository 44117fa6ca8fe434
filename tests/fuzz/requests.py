"""Requests for declared endpoints: every part of them right, nearly right or wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints
from urllib.parse import quote

import msgspec
from hypothesis import strategies as st

from homeserver.http.endpoint import EndpointDeclaration
from tests.conformance.bundle import bundle
from tests.conformance.specification import SERVED_APIS, operations, shape_of
from tests.fuzz.bodies import Draw, Schema, draw_body
from tests.fuzz.values import Values, named_text

# Segments that cannot be made by encoding a text.
_RAW_SEGMENTS = ("%", "%zz", "%ff", "%ed%a0%80", "%00", "a%2Fb", "%2e%2e", "..", "%F0%9F%98%80", "")


@dataclass(frozen=True, slots=True)
class Shape:
    """What an endpoint is known to take."""

    declaration: EndpointDeclaration
    query: tuple[str, ...]
    body: Schema | None

    @property
    def label(self) -> str:
        return f"{self.declaration.method} {self.declaration.path}"


@dataclass(frozen=True, slots=True)
class FuzzedRequest:
    method: str
    target: str
    body: bytes
    who: str
    content_type: str


@functools.cache
def _specified_bodies() -> dict[tuple[str, str], str]:
    return {
        operation.shape: operation.body_schema_uri
        for operation in operations(*SERVED_APIS)
        if operation.body_schema_uri is not None
    }


def shape_for(declaration: EndpointDeclaration, handler: Callable[..., Any]) -> Shape:
    """What the handler's annotations and the specification say about its requests."""
    hints = get_type_hints(handler)
    query: tuple[str, ...] = ()
    if "query" in hints:
        query = tuple(field.encode_name for field in msgspec.structs.fields(hints["query"]))
    body: Schema | None = None
    specified = _specified_bodies().get((declaration.method, shape_of(declaration.path)))
    if specified is not None:
        body = bundle(specified)
    elif "body" in hints:
        shape = hints["body"]
        is_struct = isinstance(shape, type) and issubclass(shape, msgspec.Struct)
        body = msgspec.json.schema(shape) if is_struct else {"type": "object"}
    return Shape(declaration, query, body)


def _draw_path(draw: Draw, path: str, values: Values) -> str:
    segments = []
    for segment in path.split("/"):
        if not segment.startswith("{"):
            segments.append(segment)
        elif draw(st.integers(0, 9)) == 0:
            segments.append(draw(st.sampled_from(_RAW_SEGMENTS)))
        else:
            name = segment.strip("{}").removesuffix("...")
            segments.append(quote(draw(named_text(name, values)), safe=draw(st.sampled_from(("", "!$@:")))))
    return "/".join(segments)


def _draw_query(draw: Draw, names: tuple[str, ...], values: Values) -> str:
    pairs = []
    for name in names:
        for _ in range(draw(st.sampled_from((0, 1, 1, 2)))):
            pairs.append(f"{name}={quote(draw(named_text(name, values)), safe='')}")
    if draw(st.integers(0, 9)) == 0:
        pairs.append(
            draw(st.sampled_from(("&&", "=", "a", "limit=%ff", "from=%00", "x=" + "y" * 5000, "%=%")))
        )
    return "&".join(pairs)


@st.composite
def requests(draw: Draw, shape: Shape, values: Values, speakers: tuple[str, ...]) -> FuzzedRequest:
    """A request for the endpoint; `speakers` are the names of those who may ask, the usual one first."""
    declaration = shape.declaration
    path = _draw_path(draw, draw(st.sampled_from((declaration.path, *declaration.aliases))), values)
    query = _draw_query(draw, shape.query, values) if shape.query or draw(st.integers(0, 9)) == 0 else ""
    has_body = declaration.method in ("POST", "PUT", "PATCH") or draw(st.integers(0, 19)) == 0
    return FuzzedRequest(
        declaration.method,
        f"{path}?{query}" if query else path,
        draw_body(draw, shape.body, values) if has_body else b"",
        speakers[0] if draw(st.integers(0, 7)) else draw(st.sampled_from(speakers)),
        draw(st.sampled_from(("application/json", "application/json", "application/json", "text/plain", ""))),
    )
