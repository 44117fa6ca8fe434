"""How the IM API says no, where no Matrix error fits."""

from __future__ import annotations

from homeserver.errors import Conflict, Forbidden, MatrixError


class NotFriend(Forbidden):
    errcode = "IM_NOT_FRIEND"


class AlreadyFriend(Conflict):
    errcode = "IM_ALREADY_FRIEND"


class RequestTooSoon(MatrixError):
    """A request to somebody who has refused the last one; `retry_after_ms` says when the next may be made."""

    status = 429
    errcode = "IM_REQUEST_TOO_SOON"

    def __init__(self, error: str, *, retry_after_ms: int) -> None:
        super().__init__(error, retry_after_ms=retry_after_ms)


class RequestExpired(MatrixError):
    status = 410
    errcode = "IM_REQUEST_EXPIRED"


class RequestHandled(Conflict):
    errcode = "IM_REQUEST_HANDLED"


class RecallExpired(Forbidden):
    errcode = "IM_RECALL_EXPIRED"


class Encrypted(Conflict):
    """A message in the clear to a room that is encrypted."""

    errcode = "IM_ENCRYPTED"


class InviteBlocked(Forbidden):
    errcode = "M_INVITE_BLOCKED"
