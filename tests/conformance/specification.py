"""The operations of the Matrix specification, read from its OpenAPI files."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import yaml

DATA = Path(__file__).parents[1] / "data" / "matrix-spec" / "data"
BASE_URI = "https://matrix-spec.invalid/"
"""Documents are known under their path below this URI, so that a relative `$ref` finds its neighbour."""

SERVED_APIS = ("client-server", "server-server")
CALLED_APIS = ("application-service", "push-gateway", "identity")
"""The APIs that others serve and that a homeserver calls."""

_METHODS = ("get", "put", "post", "delete")
_SCHEMAS: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@functools.cache
def document(uri: str) -> Any:
    """The document of the specification that `uri` names, without regard to its fragment."""
    path = DATA / unquote(uri.partition("#")[0].removeprefix(BASE_URI))
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_SCHEMAS)


@dataclass(frozen=True, slots=True)
class Response:
    """One declared answer: `schema_uri` is where its JSON schema stands, None if it has no JSON body.

    `errcodes` are those that its description names.
    """

    status: str
    media_types: tuple[str, ...]
    schema_uri: str | None
    errcodes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; the same operationId may occur in two APIs, `key` tells them apart."""

    api: str
    operation_id: str
    method: str
    path: str
    tag: str
    deprecated: bool
    rate_limited: bool
    secured: bool
    responses: Mapping[str, Response]
    body_schema_uri: str | None

    @property
    def key(self) -> str:
        return f"{self.api}/{self.operation_id}"

    @property
    def shape(self) -> tuple[str, str]:
        """Method and path with the names of the parameters taken out: what a router can tell apart."""
        return self.method, shape_of(self.path)

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.path)


def shape_of(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path).rstrip("/")


def _pointer(*parts: str) -> str:
    return "/".join(quote(part.replace("~", "~0").replace("/", "~1")) for part in parts)


def _resolve(root: Any, node: Any) -> tuple[Any, str | None]:
    """Follow a `$ref` into the same document; the pointer of what it names comes along."""
    if isinstance(node, dict) and str(node.get("$ref", "")).startswith("#/"):
        pointer = node["$ref"][2:]
        for part in pointer.split("/"):
            root = root[part]
        return root, pointer
    return node, None


def _operations_of(api: str, file: Path) -> Iterator[Operation]:
    uri = f"{BASE_URI}api/{api}/{quote(file.name)}"
    root = document(uri)
    if not isinstance(root, dict) or "paths" not in root:
        return
    base = root["servers"][0].get("variables", {}).get("basePath", {}).get("default", "")
    for path, methods in root["paths"].items():
        for method in _METHODS:
            if method not in methods:
                continue
            operation = methods[method]
            where = _pointer("paths", path, method)
            responses = {}
            for status, declared in operation["responses"].items():
                response, moved = _resolve(root, declared)
                content = response.get("content") or {}
                schema = None
                if "schema" in content.get("application/json", {}):
                    at = moved or f"{where}/{_pointer('responses', str(status))}"
                    schema = f"{uri}#/{at}/{_pointer('content', 'application/json', 'schema')}"
                codes = frozenset(re.findall(r"\bM_[A-Z_]+", response.get("description", "")))
                responses[str(status)] = Response(str(status), tuple(content), schema, codes)
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            body_uri = f"{uri}#/{where}/{_pointer('requestBody', 'content', 'application/json', 'schema')}"
            yield Operation(
                api=api,
                operation_id=operation["operationId"],
                method=method.upper(),
                # Two operations of the specification on one path differ by a trailing space.
                path=base.rstrip("/") + path.rstrip(" "),
                tag=(operation.get("tags") or ["Other"])[0],
                deprecated=bool(operation.get("deprecated")),
                rate_limited="429" in responses,
                secured=bool(operation.get("security")),
                responses=responses,
                body_schema_uri=body_uri if "schema" in body else None,
            )


@functools.cache
def operations(*apis: str) -> tuple[Operation, ...]:
    """Every operation of the named APIs (all if none is named), in the order of their paths."""
    found = [
        operation
        for api in apis or SERVED_APIS + CALLED_APIS
        for file in sorted((DATA / "api" / api).glob("*.yaml"))
        for operation in _operations_of(api, file)
    ]
    return tuple(sorted(found, key=lambda each: (each.api, each.path, each.method, each.operation_id)))


class OperationIndex:
    """Finds the operations that a request's method and path mean."""

    def __init__(self, declared: tuple[Operation, ...]) -> None:
        self._exact: dict[tuple[str, str], list[Operation]] = defaultdict(list)
        self._by_shape: dict[tuple[str, int], list[tuple[re.Pattern[str], list[Operation]]]] = defaultdict(
            list
        )
        by_shape: dict[tuple[str, str], list[Operation]] = defaultdict(list)
        for operation in declared:
            by_shape[operation.shape].append(operation)
        for (method, shape), group in by_shape.items():
            if "{}" not in shape:
                self._exact[method, shape] = group
                continue
            pattern = re.compile("([^/]+)".join(re.escape(part) for part in shape.split("{}")))
            self._by_shape[method, shape.count("/")].append((pattern, group))
            if shape.endswith("/state/{}/{}"):
                # An empty state key may be left out together with its slash.
                short = re.compile("([^/]+)".join(re.escape(part) for part in shape[:-3].split("{}")))
                self._by_shape[method, shape.count("/") - 1].append((short, group))
        for patterns in self._by_shape.values():
            # A literal segment is a better match than a parameter.
            patterns.sort(key=lambda each: each[0].groups)

    def find(self, method: str, path: str) -> list[Operation]:
        """The operations served at `path` (without its query), several if the specification tells them apart by
        what is asked; empty if it has none."""
        path = path.replace("/_matrix/client/r0/", "/_matrix/client/v3/", 1).rstrip("/")
        if exact := self._exact.get((method, path)):
            return exact
        for pattern, group in self._by_shape.get((method, path.count("/")), ()):
            if pattern.fullmatch(path):
                return group
        return []


@functools.cache
def served() -> OperationIndex:
    """The operations that a homeserver serves."""
    return OperationIndex(operations(*SERVED_APIS))


@functools.cache
def called() -> OperationIndex:
    """The operations that a homeserver asks of others."""
    return OperationIndex(operations(*CALLED_APIS))
