"""The three voices in which Hearth says no: to a caller, about an event, and about another server."""

from __future__ import annotations

from typing import Any, ClassVar


class HearthError(Exception):
    """The root of every refusal that is not a bug."""


class MatrixError(HearthError):
    """A refusal that the caller is told: an HTTP status, an `errcode` and a sentence that names the thing.

    `extra` is merged into the answer's JSON object (`retry_after_ms`, `soft_logout`, `flows`...).
    Spec: https://spec.matrix.org/v1.19/client-server-api/#standard-error-response
    """

    status: ClassVar[int] = 400
    errcode: ClassVar[str] = "M_UNKNOWN"

    def __init__(
        self,
        error: str,
        *,
        status: int | None = None,
        errcode: str | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(error)
        self.error = error
        self.extra = extra
        self.http_status = self.status if status is None else status
        self.code = self.errcode if errcode is None else errcode

    def body(self) -> dict[str, Any]:
        """The standard error response."""
        return {"errcode": self.code, "error": self.error, **self.extra}


class BadJson(MatrixError):
    errcode = "M_BAD_JSON"


class NotJson(MatrixError):
    errcode = "M_NOT_JSON"


class InvalidParam(MatrixError):
    errcode = "M_INVALID_PARAM"


class MissingParam(MatrixError):
    errcode = "M_MISSING_PARAM"


class UnknownPos(MatrixError):
    errcode = "M_UNKNOWN_POS"


class MissingToken(MatrixError):
    status = 401
    errcode = "M_MISSING_TOKEN"


class UnknownToken(MatrixError):
    """The access token is unknown; `soft_logout` tells the client that it may log in again and keep its keys."""

    status = 401
    errcode = "M_UNKNOWN_TOKEN"

    def __init__(self, error: str = "unknown or expired access token", *, soft_logout: bool = False) -> None:
        super().__init__(error, soft_logout=soft_logout)


class AccountEnded(UnknownToken):
    """The session has ended with the account."""


class Unauthorized(MatrixError):
    status = 401
    errcode = "M_UNAUTHORIZED"


class Forbidden(MatrixError):
    status = 403
    errcode = "M_FORBIDDEN"


class UserLocked(MatrixError):
    status = 401
    errcode = "M_USER_LOCKED"

    def __init__(self, error: str = "this account is locked") -> None:
        super().__init__(error, soft_logout=True)


class UserSuspended(Forbidden):
    errcode = "M_USER_SUSPENDED"


class GuestForbidden(Forbidden):
    errcode = "M_GUEST_ACCESS_FORBIDDEN"


class NotFound(MatrixError):
    status = 404
    errcode = "M_NOT_FOUND"


class Unrecognized(MatrixError):
    status = 404
    errcode = "M_UNRECOGNIZED"


class Conflict(MatrixError):
    status = 409
    errcode = "M_UNKNOWN"


class TooLarge(MatrixError):
    status = 413
    errcode = "M_TOO_LARGE"


class LimitExceeded(MatrixError):
    """Too many requests; the answer also carries a `Retry-After` header."""

    status = 429
    errcode = "M_LIMIT_EXCEEDED"

    def __init__(self, error: str = "too many requests", *, retry_after_ms: int) -> None:
        super().__init__(error, retry_after_ms=retry_after_ms)
        self.retry_after_ms = retry_after_ms


class EventError(HearthError):
    """The pure core refuses an event; whoever asked decides what that means."""


class AuthRejected(EventError):
    """The authorization rules refuse an event; `rule` is the first that does not hold, as room version 12 counts."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"{rule}: {reason}")
        self.rule = rule
        self.reason = reason


class InvalidEvent(EventError):
    """The event is not of the shape that its room version requires."""


class InvalidSignature(EventError):
    """A signature that the event must carry is missing or wrong."""


class KeysUnavailable(InvalidSignature):
    """The keys that would tell whether a signature is right cannot be had now, and perhaps later."""


class UnsupportedRoomVersion(EventError):
    """Hearth does not know this room version."""

    def __init__(self, room_version: object) -> None:
        super().__init__(f"unknown room version {room_version!r}")
        self.room_version = room_version


class RemoteError(HearthError):
    """Another server failed us; it is not our client's fault.

    `status` and `errcode` are what it answered, or None if it did not answer.
    """

    def __init__(self, error: str, *, status: int | None = None, errcode: str | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.errcode = errcode
