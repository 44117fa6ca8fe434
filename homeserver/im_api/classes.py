"""The classes of requests that the IM API is counted in, and the shapes that its lists share."""

from __future__ import annotations

from typing import Annotated

import msgspec

from homeserver.http.endpoint import RateLimit
from homeserver.http.request import Request

REST = RateLimit("im", also_by_address=True)
SEND = RateLimit("message", also_by_address=True)
SEARCH = RateLimit("search", also_by_address=True)
FRIEND_REQUEST = RateLimit("friend_requests", also_by_address=True)
UPLOAD = RateLimit("media_create", also_by_address=True)
EMAIL_CODE = RateLimit("email_code", by_address=True)
LOGIN = RateLimit("im_login", by_address=True)
REGISTER = RateLimit("registration", by_address=True)
ANONYMOUS = RateLimit("im", by_address=True)

LIMITED: dict[str, str] = {
    "im": "every call that no other class counts",
    "message": "sending and posting",
    "search": "searching",
    "friend_requests": "asking to be friends",
    "media_create": "uploading",
    "im_login": "logging in, refreshing and proving who one is",
    "registration": "signing up",
    "email_code": "asking for codes",
    "email_code_per_day": "codes to one e-mail address",
}
"""What each class of limits counts."""

Limit = Annotated[int, msgspec.Meta(ge=1, le=100)]


class PageQuery(msgspec.Struct, rename={"from_": "from"}):
    """`from` is the `next_batch` of the page before."""

    limit: Limit = 20
    from_: str | None = None


def client_id_of(request: Request, given: str | None = None) -> str | None:
    """What a client calls a thing that it makes: of the body, or of the header `Idempotency-Key`."""
    return request.header("idempotency-key") if given is None else given
