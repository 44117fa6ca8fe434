"""The IM API described to programs: OpenAPI 3.1, made of the declarations that are served.

What a handler declares (its path, whom it is for, its class of limits, its body and query) is written once; this reads
it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NewType, get_type_hints

import msgspec

from homeserver import ids
from homeserver.http.endpoint import Auth, EndpointDeclaration, declarations
from homeserver.http.params import RESERVED
from homeserver.http.responses import HtmlResponse, Response, StreamedBody, Upgrade

PREFIX = "/im/v1"
_REF = "#/components/schemas/{name}"
_PATTERNS: dict[Any, str] = {
    ids.UserID: "^@[^:\\x00]+:.+$",
    ids.RoomID: "^!.+$",
    ids.EventID: "^\\$.+$",
    ids.ServerName: "^[A-Za-z0-9.:-]+$",
}
_TAGS = {
    "auth": "Accounts and sessions",
    "users": "Users",
    "friends": "Friends",
    "blocks": "Friends",
    "presence": "Presence",
    "conversations": "Conversations",
    "messages": "Messages",
    "groups": "Groups",
    "invite-links": "Groups",
    "invite-keys": "Groups",
    "moments": "Moments",
    "follows": "Moments",
    "calls": "Calls",
    "media": "Media",
    "ws": "Realtime",
    "updates": "Realtime",
    "admin": "Administration",
}
ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "errcode": {"type": "string"},
        "error": {"type": "string"},
        "retry_after_ms": {"type": "integer"},
    },
    "required": ["errcode", "error"],
}
# What stages of authentication are left is a refusal without a code, as the client-server API has it.
_CHALLENGE: dict[str, Any] = {
    "type": "object",
    "properties": {"flows": {"type": "array"}, "session": {"type": "string"}},
    "required": ["flows", "session"],
}


@dataclass(frozen=True, slots=True)
class _Shapes:
    """The schemas of structs: a reference to each, and what the references lead to."""

    refs: Mapping[Any, dict[str, Any]]
    components: Mapping[str, Any]

    def of(self, hint: Any) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.components[self.refs[hint]["$ref"].rpartition("/")[2]]
        return found


def describe(handlers: Iterable[object], *, title: str, version: str, server: str) -> dict[str, Any]:
    """The document about everything under `/im/v1` that the handlers declare."""
    found = sorted(
        (
            (declaration, handler)
            for one in handlers
            for declaration, handler in declarations(one)
            if declaration.path.startswith(PREFIX)
        ),
        key=lambda pair: (pair[0].path, pair[0].method),
    )
    shapes = [
        hint
        for _, handler in found
        for name, hint in get_type_hints(handler).items()
        if name in ("body", "query") and _is_struct(hint)
    ]
    refs, components = msgspec.json.schema_components(shapes, ref_template=_REF)
    # Two shapes of one name are told apart by their modules.
    shown = _Shapes(dict(zip(shapes, refs, strict=True)), components)
    paths: dict[str, dict[str, Any]] = {}
    for declaration, handler in found:
        operations = paths.setdefault(declaration.path.removeprefix(PREFIX), {})
        operations[declaration.method.lower()] = _operation(declaration, handler, shown)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "servers": [{"url": server.rstrip("/") + PREFIX}],
        "security": [{"token": []}],
        "tags": [{"name": name} for name in dict.fromkeys([*_TAGS.values(), "The server"])],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": ERROR, "Challenge": _CHALLENGE},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(
    declaration: EndpointDeclaration, handler: Callable[..., Any], shapes: _Shapes
) -> dict[str, Any]:
    hints = get_type_hints(handler)
    signature = inspect.signature(handler).parameters
    summary, _, rest = (inspect.getdoc(handler) or "").partition("\n")
    operation: dict[str, Any] = {
        "operationId": declaration.operation,
        "summary": summary,
        "tags": [_tag(declaration.path)],
        "parameters": [
            _path_parameter(name, hints[name])
            for name in signature
            if name not in RESERVED and name != "self"
        ],
        "responses": {"2XX": _answer(hints.get("return")), "default": _refusal()},
    }
    if rest.strip():
        operation["description"] = rest.strip()
    if "query" in signature:
        operation["parameters"] += _query_parameters(shapes.of(hints["query"]))
    if "body" in signature:
        operation["requestBody"] = _body(hints["body"], shapes)
    if declaration.auth is Auth.NONE:
        operation["security"] = []
    elif declaration.auth is Auth.ACCESS_TOKEN_OPTIONAL:
        operation["security"] = [{}, {"token": []}]
    if declaration.rate_limit is not None:
        operation["x-rate-limit"] = declaration.rate_limit.name
    if declaration.auth is Auth.ADMIN:
        operation["x-admin"] = True
    return operation


def _tag(path: str) -> str:
    return _TAGS.get(path.removeprefix(PREFIX).split("/")[1], "The server")


def _path_parameter(name: str, hint: Any) -> dict[str, Any]:
    if hint in _PATTERNS:
        schema: dict[str, Any] = {"type": "string", "pattern": _PATTERNS[hint]}
    elif isinstance(hint, NewType) or hint is str:
        schema = {"type": "string", "minLength": 1}
    else:
        schema = msgspec.json.schema(hint)
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(described: Mapping[str, Any]) -> list[dict[str, Any]]:
    required = described.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(schema)}
        for name, schema in described["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What is null in JSON is left out of a query."""
    choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    if schema.get("enum") is not None:
        return {**rest, "enum": [value for value in schema["enum"] if value is not None]}
    if len(choices) == 1:
        return {**rest, **choices[0]}
    return {**rest, "anyOf": choices} if choices else rest


def _body(hint: Any, shapes: _Shapes) -> dict[str, Any]:
    schema = shapes.refs[hint] if _is_struct(hint) else {"type": "object"}
    is_needed = not _is_struct(hint) or any(field.required for field in msgspec.structs.fields(hint))
    return {"required": is_needed, "content": {"application/json": {"schema": schema}}}


def _answer(hint: Any) -> dict[str, Any]:
    if hint in (Response, StreamedBody, Upgrade) or hint is None:
        return {"description": "As the summary says."}
    if hint is HtmlResponse:
        return {"description": "A page.", "content": {"text/html": {"schema": {"type": "string"}}}}
    return {"description": "Done.", "content": {"application/json": {"schema": {"type": "object"}}}}


def _refusal() -> dict[str, Any]:
    refs = [{"$ref": _REF.format(name=name)} for name in ("Error", "Challenge")]
    return {"description": "Refused.", "content": {"application/json": {"schema": {"anyOf": refs}}}}


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)
