"""What Hearth declares and what it serves, beside the operations of the specification."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from homeserver.http.endpoint import EndpointDeclaration, declarations
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import Notifier
from storage.database import Database
from storage.worker import Worker
from tests.conformance.specification import SERVED_APIS, Operation, operations, shape_of
from tests.fixtures.databases import memory_database
from tests.fixtures.reactor import VirtualReactor
from tests.harness.server import Server

API_PACKAGES = ("homeserver.client_api", "homeserver.admin_api", "homeserver.im_api", "federation.inbound")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One handler under one declaration."""

    declaration: EndpointDeclaration
    handler: Callable[..., Any]

    @property
    def where(self) -> str:
        return f"{self.handler.__module__}.{self.handler.__qualname__}"

    @property
    def documentation(self) -> str:
        return inspect.getdoc(self.handler) or ""

    @property
    def shapes(self) -> set[tuple[str, str]]:
        return {(self.declaration.method, shape_of(path)) for path in self.declaration.paths()}


class _MemoryEngine:
    """A database that is gone with the server."""

    name = "sqlite"

    def open(self, clock: Clock, notifier: Notifier, worker: Worker) -> Database:
        return memory_database(clock, notifier)


@functools.cache
def served_endpoints() -> tuple[Endpoint, ...]:
    """Everything that the router of a composed server answers."""
    reactor = VirtualReactor()
    server = Server(reactor, _MemoryEngine(), **EVERYTHING_ON)
    reactor.drive(server.starts())
    found: dict[tuple[str, str], Endpoint] = {}
    for route in server.homeserver.router.routes():
        declaration = route.declaration
        found[declaration.method, declaration.path] = Endpoint(declaration, route.handler)
    reactor.drive(server.stops())
    return tuple(found[key] for key in sorted(found, key=lambda key: (key[1], key[0])))


EVERYTHING_ON: dict[str, Any] = {"enable_metrics": True}
"""The settings under which every endpoint is served."""


def declared_endpoints() -> Iterator[Endpoint]:
    """Everything that is declared anywhere, whether or not it is part of the composed server."""
    for package_name in API_PACKAGES:
        try:
            package = importlib.import_module(package_name)
        except ModuleNotFoundError as error:
            if error.name not in (package_name, package_name.partition(".")[0]):
                raise
            continue
        for module_info in pkgutil.walk_packages(package.__path__, f"{package_name}."):
            module = importlib.import_module(module_info.name)
            for _, cls in inspect.getmembers(module, inspect.isclass):
                if cls.__module__ != module.__name__:
                    continue
                yield from (Endpoint(declaration, handler) for declaration, handler in declarations(cls))


@functools.cache
def endpoint_by_operation() -> dict[str, Endpoint]:
    """The endpoint that serves each operation of the specification, by the operation's key."""
    by_shape: dict[tuple[str, str], Endpoint] = {}
    for endpoint in served_endpoints():
        for shape in endpoint.shapes:
            by_shape.setdefault(shape, endpoint)
    return {
        operation.key: by_shape[operation.shape]
        for operation in operations(*SERVED_APIS)
        if operation.shape in by_shape
    }


def operations_of(endpoint: Endpoint) -> list[Operation]:
    """The operations of the specification that an endpoint serves."""
    return [operation for operation in operations(*SERVED_APIS) if operation.shape in endpoint.shapes]
