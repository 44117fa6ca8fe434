"""From method and path to the handler that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from homeserver.errors import Unrecognized
from homeserver.http.endpoint import Auth, EndpointDeclaration, declarations
from homeserver.http.params import RESERVED, Parameters, decode_segment
from homeserver.http.rate_limit import RateLimiter
from homeserver.http.request import Request

Authenticator = Callable[[Request, EndpointDeclaration], Any]
"""Who asks: a `Requester`, a `ServerName` or None, or an awaitable of one if it must be looked up."""


class Route:
    """One handler under one path, with everything that serving it needs."""

    __slots__ = ("authenticate", "declaration", "handler", "names", "parameters", "parsers")

    def __init__(
        self,
        declaration: EndpointDeclaration,
        handler: Callable[..., Any],
        authenticate: Authenticator | None,
        names: tuple[str, ...],
    ) -> None:
        self.declaration = declaration
        self.handler = handler
        self.authenticate = authenticate
        self.parameters = Parameters(handler)
        self.names = names
        unknown = set(names) - set(self.parameters.path)
        missing = set(self.parameters.path) - set(names) - self.parameters.optional
        if unknown or missing or set(names) & RESERVED:
            raise ValueError(f"{declaration.operation}: path and parameters differ: {unknown | missing}")
        self.parsers = tuple((name, self.parameters.path[name]) for name in names)


class _Node:
    """A place in the trie: what the next segment may be."""

    __slots__ = ("literals", "parameter", "rest", "routes")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.rest: _Node | None = None
        self.routes: dict[str, Route] = {}


Match = tuple[Route, list[str]]


class Router:
    """Every endpoint of one listener.

    A literal segment wins over a parameter; where it leads nowhere, the parameter is tried after all.
    """

    def __init__(
        self,
        handlers: Iterable[object],
        authenticators: Mapping[Auth, Authenticator],
        limiter: RateLimiter,
    ) -> None:
        self.limiter = limiter
        self._root = _Node()
        # Paths without parameters, whole: one look-up instead of a walk.
        self._static: dict[str, dict[str, Route]] = {}
        for one in handlers:
            for declaration, handler in declarations(one):
                for path in declaration.paths():
                    self._add(path, declaration, handler, authenticators)

    def _add(
        self,
        path: str,
        declaration: EndpointDeclaration,
        handler: Callable[..., Any],
        authenticators: Mapping[Auth, Authenticator],
    ) -> None:
        if declaration.auth is not Auth.NONE and declaration.auth not in authenticators:
            raise ValueError(f"{declaration.operation}: nothing authenticates {declaration.auth.value}")
        node = self._root
        names = []
        for segment in _segments(path):
            if not (segment.startswith("{") and segment.endswith("}")):
                node = node.literals.setdefault(segment, _Node())
                continue
            name = segment[1:-1]
            if name.endswith("..."):
                name = name[:-3]
                node.rest = node.rest or _Node()
                node = node.rest
            else:
                node.parameter = node.parameter or _Node()
                node = node.parameter
            names.append(name)
        route = Route(declaration, handler, authenticators.get(declaration.auth), tuple(names))
        present = node.routes.setdefault(declaration.method, route)
        if present is not route:
            both = f"{present.declaration.operation} and {declaration.operation}"
            raise ValueError(f"{declaration.method} {path} is both {both}")
        if not names:
            self._static[path] = node.routes

    def find(self, method: str, path: str) -> Match:
        """The route for a request and the raw values of its path parameters.

        Raises:
            Unrecognized: no such path (404), or not with this method (405).
        """
        routes = self._static.get(path)
        if routes is not None and method in routes:
            return routes[method], []
        segments = _segments(path)
        found = self._walk(self._root, segments, 0, method)
        if found is None and method == "HEAD":
            found = self._walk(self._root, segments, 0, "GET")
        if found is not None:
            return found
        if self.methods(path):
            raise Unrecognized(f"{path} does not take {method}", status=405)
        raise Unrecognized(f"no endpoint {path}")

    def methods(self, path: str) -> list[str]:
        """The methods that a path takes."""
        segments = _segments(path)
        methods = sorted({route.declaration.method for route in self.routes()})
        return [method for method in methods if self._walk(self._root, segments, 0, method) is not None]

    def routes(self) -> Iterable[Route]:
        """Every route once."""
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            yield from node.routes.values()
            waiting.extend(node.literals.values())
            waiting.extend(child for child in (node.parameter, node.rest) if child is not None)

    def _walk(self, node: _Node, segments: list[str], depth: int, method: str) -> Match | None:
        if depth == len(segments):
            route = node.routes.get(method)
            return None if route is None else (route, [])
        segment = segments[depth]
        child = node.literals.get(segment)
        if child is not None:
            found = self._walk(child, segments, depth + 1, method)
            if found is not None:
                return found
        child = node.parameter
        if child is not None:
            found = self._walk(child, segments, depth + 1, method)
            if found is not None and (segment or _may_be_empty(found)):
                found[1].insert(0, segment)
                return found
        if node.rest is not None and method in node.rest.routes:
            return node.rest.routes[method], ["/".join(segments[depth:])]
        return None


def _segments(path: str) -> list[str]:
    return path[1:].split("/")


def _may_be_empty(found: Match) -> bool:
    """Whether the parameter before those of `found` has a default, so that its segment may be empty."""
    route, later = found
    return route.names[-1 - len(later)] in route.parameters.optional


def path_arguments(route: Route, values: list[str]) -> dict[str, Any]:
    """The path parameters of a request, parsed.

    Raises:
        InvalidParam: one is not what its annotation says.
    """
    arguments: dict[str, Any] = {}
    for (name, parse), raw in zip(route.parsers, values, strict=True):
        value = decode_segment(raw) if "%" in raw else raw
        arguments[name] = value if parse is None else parse(value)
    return arguments
