"""Which answer an exception becomes: the one place that turns refusals into HTTP."""

from __future__ import annotations

import msgspec

from homeserver.errors import (
    EventError,
    HearthError,
    InvalidEvent,
    LimitExceeded,
    MatrixError,
    RemoteError,
    UnsupportedRoomVersion,
)
from homeserver.http.responses import Response


def refusal(error: BaseException) -> Response | None:
    """The answer for a refusal; None for a bug, which the caller logs and answers with `INTERNAL_ERROR`."""
    if isinstance(error, MatrixError):
        headers = {}
        if isinstance(error, LimitExceeded):
            # Seconds, rounded up: who comes back too early would be refused again.
            headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
        return Response(error.http_status, error.body(), headers)
    if isinstance(error, UnsupportedRoomVersion):
        return _error(400, "M_UNSUPPORTED_ROOM_VERSION", str(error))
    if isinstance(error, InvalidEvent):
        return _error(400, "M_BAD_JSON", str(error))
    if isinstance(error, EventError):
        return _error(403, "M_FORBIDDEN", str(error))
    if isinstance(error, RemoteError):
        return _error(502, "M_UNKNOWN", str(error))
    return None


def as_told(error: HearthError) -> MatrixError:
    """A refusal where there is no HTTP: what a request over a socket is told."""
    if isinstance(error, MatrixError):
        return error
    answer = refusal(error)
    assert answer is not None and not isinstance(answer.body, bytes | msgspec.Struct), (
        "a refusal is told as an object"
    )
    return MatrixError(answer.body["error"], status=answer.status, errcode=answer.body["errcode"])


def _error(status: int, errcode: str, message: str) -> Response:
    return Response(status, {"errcode": errcode, "error": message})


INTERNAL_ERROR = Response(500, {"errcode": "M_UNKNOWN", "error": "Internal server error"})


def validation_message(error: msgspec.ValidationError, *, where: str) -> str:
    """The sentence of msgspec with the path of the value (`$.a.b`) turned into its name."""
    message, _, path = str(error).partition(" - at `$")
    name = path.rstrip("`").lstrip(".")
    return f"{where} {name}: {message}" if name else f"{where}: {message}"
