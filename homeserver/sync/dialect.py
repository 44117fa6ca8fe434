"""How a socket speaks: the shape of its frames, when it pings, and what it says before it closes.

`/stream` sends `/sync` bodies and is asked by method and params; the IM API sends one frame for each thing that
happened. What a socket does (follow, wait, acknowledge, end with its session) is the same for both: see `socket.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from homeserver.errors import BadJson, MatrixError, MissingParam
from homeserver.sync.answer import Answer

CLOSE_FAILED = 1011
CLOSE_TOKEN_REVOKED = 3002
CLOSE_ACCOUNT = 3003


class Call(NamedTuple):
    """What a client asks: the method's name and what belongs to it."""

    method: str
    params: Mapping[str, Any]


class Dialect(Protocol):
    """One way of speaking over a socket."""

    @property
    def ping_every_s(self) -> float: ...

    @property
    def stalled_s(self) -> float | None:
        """How long a client may leave its frames unread; None: as long as it answers pings."""
        ...

    def frames(self, answer: Answer) -> Sequence[bytes]:
        """An update as it is written."""
        ...

    def call(self, request: Mapping[str, Any]) -> Call:
        """
        Raises:
            BadJson, MissingParam: it is no call.
        """
        ...

    def result(self, request_id: object, result: Mapping[str, Any]) -> bytes: ...

    def refusal(self, request_id: object, error: MatrixError) -> bytes: ...

    def farewell(self, refusal: MatrixError) -> bytes | None:
        """What is said before a socket is closed because its session ended."""
        ...


class MatrixDialect:
    """`/stream`: whole updates, calls by method, params and ID."""

    ping_every_s = 54.0
    stalled_s = None

    def frames(self, answer: Answer) -> Sequence[bytes]:
        return (answer.body,)

    def call(self, request: Mapping[str, Any]) -> Call:
        name = request.get("method")
        if not isinstance(name, str):
            raise BadJson("Unknown method")
        params = request.get("params", request.get("param", {}))
        if not isinstance(params, dict):
            raise BadJson("params must be an object")
        check_id(request)
        return Call(name, params)

    def result(self, request_id: object, result: Mapping[str, Any]) -> bytes:
        return msgspec.json.encode({"id": request_id, "result": result})

    def refusal(self, request_id: object, error: MatrixError) -> bytes:
        return msgspec.json.encode({"id": request_id, "error": error.body()})

    def farewell(self, refusal: MatrixError) -> bytes | None:
        return None


def check_id(request: Mapping[str, Any]) -> None:
    """
    Raises:
        MissingParam: a call without an ID could not be answered.
    """
    request_id = request.get("id")
    if not isinstance(request_id, str) or not request_id:
        raise MissingParam("Missing parameter: id")
