"""The description of the IM API, for programs and as a page: all of it in one answer, without a script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.responses import HtmlResponse, RawJson
from homeserver.im_api.classes import ANONYMOUS


class ReferenceEndpoints:
    """Serves what `openapi.describe` has made."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._json = msgspec.json.encode(document)
        style = (files("homeserver.im_api") / "templates" / "reference.css").read_text()
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        environment = Environment(loader=PackageLoader("homeserver.im_api"), autoescape=True)
        self._html = environment.get_template("reference.html").render(
            info=document["info"],
            sections=sections(document),
            style=Markup(style),  # noqa: S704  # a file of ours
        )

    @endpoint("GET", "/im/v1/openapi.json", auth=Auth.NONE, rate_limit=ANONYMOUS)
    def get_openapi(self) -> RawJson:
        """This API as an OpenAPI 3.1 document."""
        return RawJson(self._json)

    @endpoint("GET", "/im/v1/reference", auth=Auth.NONE, rate_limit=ANONYMOUS)
    def get_reference(self) -> HtmlResponse:
        """This API as a page."""
        return HtmlResponse(self._html, policy=self._policy)


def sections(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The calls of a document by tag, as the page shows them."""
    calls: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in document["tags"]}
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            calls[operation["tags"][0]].append(
                {
                    "method": method.upper(),
                    "path": path,
                    "operation": operation,
                    "audience": _audience(operation),
                    "fields": [*_parameters(operation), *_body_fields(operation, schemas)],
                }
            )
    return [
        {"name": name, "id": name.lower().replace(" ", "-"), "calls": found}
        for name, found in calls.items()
        if found
    ]


def _audience(operation: Mapping[str, Any]) -> str:
    if operation.get("x-admin"):
        return "For administrators of the server."
    security = operation.get("security")
    if security is None:
        return "For whoever is logged in."
    return "For everybody." if security == [] else "With or without an access token."


def _parameters(operation: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": one["name"], "where": one["in"], "what": _what(one["schema"]), "required": one["required"]}
        for one in operation["parameters"]
    ]


def _body_fields(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "requestBody" not in operation:
        return []
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    shape = schemas.get(schema.get("$ref", "").rpartition("/")[2], {})
    required = shape.get("required", ())
    return [
        {"name": name, "where": "body", "what": _what(one), "required": name in required}
        for name, one in shape.get("properties", {}).items()
    ]


def _what(schema: Mapping[str, Any]) -> str:
    """A schema in few words."""
    if "enum" in schema:
        return " | ".join("null" if value is None else str(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_what(one) for one in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"list of {_what(schema.get('items', {}))}"
    limits = [
        f"{word} {schema[key]}"
        for key, word in (
            ("minimum", "at least"),
            ("maximum", "at most"),
            ("maxLength", "at most"),
            ("maxItems", "at most"),
        )
        if key in schema
    ]
    return f"{kind}, {', '.join(limits)}" if limits else kind
