"""The classes of requests that the IM API is counted in, and the shapes that its lists share."""

from __future__ import annotations

from typing import Annotated

import msgspec

from homeserver.http.endpoint import RateLimit

REST = RateLimit("im")
SEND = RateLimit("message")
SEARCH = RateLimit("search")
FRIEND_REQUEST = RateLimit("friend_requests")
EMAIL_CODE = RateLimit("email_code", by_address=True)
LOGIN = RateLimit("login_address", by_address=True)
REGISTER = RateLimit("registration", by_address=True)

Limit = Annotated[int, msgspec.Meta(ge=1, le=100)]


class PageQuery(msgspec.Struct, rename={"from_": "from"}):
    """`from` is the `next_batch` of the page before."""

    limit: Limit = 20
    from_: str | None = None
