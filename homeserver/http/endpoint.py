"""The declaration of an endpoint: everything about it that is not its logic stands on its handler.

The router serves what is declared here and the conformance test compares it with the specification, so path,
method, authentication and limits are written once. Handlers name their parameters:

- `who: Requester` who asks; `Requester | None` where the access token is optional;
- `origin: ServerName` the server that signed a federation request;
- `body: SomeStruct` the JSON body; `dict[str, Any]` takes any object;
- `query: SomeStruct` the query parameters; list fields take repeated ones;
- `request: Request` the raw request: headers, client address, streamed body, disconnection;
- every other parameter is one of the path, parsed by its annotation. One with a default may be empty or,
where an
  alias leaves it out, absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

DEFAULT_MAX_BODY = 256 * 1024
"""Bytes of a JSON body: an event has at most 64 KiB, but its JSON may be escaped."""

_ATTRIBUTE = "__endpoint__"
_STABLE = "/_matrix/client/v3/"
_LEGACY = "/_matrix/client/r0/"

H = TypeVar("H", bound=Callable[..., Any])


class Auth(Enum):
    """What a request must present."""

    NONE = "none"
    ACCESS_TOKEN = "access token"  # noqa: S105 - says what is asked for, and is no token
    ACCESS_TOKEN_OPTIONAL = "optional access token"  # noqa: S105 - as above
    ADMIN = "access token of a server administrator"
    FEDERATION = "signature of a server"
    APPSERVICE = "token of an application service"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The class of requests that an endpoint is counted in; the configuration says what the class allows.

    Requests are counted per user, or per client address where nobody is logged in or `by_address` is set. With
    `also_by_address` those of users are counted by address as well, in a class of their own (`im` and `im_address`).
    """

    name: str
    by_address: bool = False
    also_by_address: bool = False


@dataclass(frozen=True, slots=True)
class EndpointDeclaration:
    """What `@endpoint` was told."""

    method: str
    path: str
    operation: str
    auth: Auth
    rate_limit: RateLimit | None
    aliases: tuple[str, ...]
    max_body: int
    guests: bool
    locked: bool
    suspended: bool
    streams: bool

    def paths(self) -> Iterator[str]:
        """Every path under which the endpoint is served: `r0` beside `v3` too."""
        for path in (self.path, *self.aliases):
            yield path
            if path.startswith(_STABLE):
                yield _LEGACY + path[len(_STABLE) :]


def endpoint(
    method: str,
    path: str,
    *,
    auth: Auth = Auth.ACCESS_TOKEN,
    rate_limit: RateLimit | None = None,
    aliases: tuple[str, ...] = (),
    max_body: int = DEFAULT_MAX_BODY,
    guests: bool = False,
    locked: bool = False,
    suspended: bool = True,
    streams: bool = False,
) -> Callable[[H], H]:
    """Declare the decorated method to be the handler of `method path`.

    `guests`, `locked` and `suspended` admit requesters of that kind. `streams` starts the handler before the
    body has arrived: it reads the body from `request.chunks()`. In a path, `{name}` is one segment and a last
    `{name...}` the rest of the path.
    """

    def declare(handler: H) -> H:
        declaration = EndpointDeclaration(
            method=method,
            path=path,
            operation=handler.__name__,
            auth=auth,
            rate_limit=rate_limit,
            aliases=aliases,
            max_body=max_body,
            guests=guests,
            locked=locked,
            suspended=suspended,
            streams=streams,
        )
        # One handler may answer several methods: declarations stack.
        setattr(handler, _ATTRIBUTE, (declaration, *getattr(handler, _ATTRIBUTE, ())))
        return handler

    return declare


def declarations(handlers: object) -> Iterator[tuple[EndpointDeclaration, Callable[..., Any]]]:
    """Every declared method of an object (bound) or of a class."""
    for name in dir(handlers):
        if name.startswith("__"):
            continue
        method = getattr(handlers, name)
        for declaration in getattr(method, _ATTRIBUTE, ()):
            yield declaration, method
