"""The channel over which a new device and an old one find each other when somebody scans a QR code.

Two generations: MSC4108's of 2024, which speaks ETags, and MSC4388's, which speaks JSON. What goes over it is encrypted
between the devices; the server only holds the latest word of either for a minute.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import msgspec

from homeserver.errors import Forbidden, MatrixError, TooLarge
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.responses import Empty, Response
from homeserver.users.rendezvous import MAX_BYTES, Conflict, Rendezvous, Session

_OLD = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous"
_NEW = "/_matrix/client/unstable/io.element.msc4388/rendezvous"
_LIMIT = RateLimit("rendezvous", by_address=True)
_MAX_BODY = 4 * MAX_BYTES


class WriteConflict(MatrixError):
    status = 409
    errcode = "M_CONCURRENT_WRITE"


class Begin(msgspec.Struct):
    """The first word."""

    data: str


class Write(msgspec.Struct):
    """The next word; `sequence_token` is that of the one before."""

    data: str
    sequence_token: str


class RendezvousEndpoints:
    """Both channels."""

    def __init__(self, rendezvous: Rendezvous, base_url: str) -> None:
        self._rendezvous = rendezvous
        self._base_url = base_url

    @endpoint("POST", _OLD, auth=Auth.NONE, rate_limit=_LIMIT, max_body=_MAX_BODY)
    def begin_text(self, request: Request) -> Response:
        """Begin a channel of MSC4108."""
        self._check_text(request)
        session = self._rendezvous.begin(request.body)
        url = f"{self._base_url}{_OLD}/{session.id}"
        return Response(201, {"url": url}, self._headers(session))

    @endpoint("GET", f"{_OLD}/{{session_id}}", auth=Auth.NONE, rate_limit=_LIMIT)
    def read_text(self, session_id: str, request: Request) -> Response:
        """Its latest word, if it is not the one that the asker knows."""
        session = self._rendezvous.load(session_id)
        headers = self._headers(session)
        if request.header("if-none-match") == headers["ETag"]:
            return Response(304, b"", headers)
        return Response(200, session.data, {**headers, "Content-Type": "text/plain"})

    @endpoint("PUT", f"{_OLD}/{{session_id}}", auth=Auth.NONE, rate_limit=_LIMIT, max_body=_MAX_BODY)
    def write_text(self, session_id: str, request: Request) -> Response:
        """Its next word, from somebody who knows the latest."""
        self._check_text(request)
        try:
            session = self._rendezvous.write(
                session_id, request.body, (request.header("if-match") or "").strip('"')
            )
        except Conflict as conflict:
            refusal = {
                "errcode": "M_UNKNOWN",
                "error": "somebody else has written",
                "org.matrix.msc4108.errcode": "M_CONCURRENT_WRITE",
            }
            return Response(412, refusal, self._headers(conflict.session))
        return Response(202, b"", self._headers(session))

    @endpoint("DELETE", f"{_OLD}/{{session_id}}", auth=Auth.NONE, rate_limit=_LIMIT)
    def end_text(self, session_id: str) -> Response:
        """Its end."""
        self._rendezvous.end(session_id)
        return Response(204)

    @endpoint("GET", _NEW, auth=Auth.NONE, rate_limit=_LIMIT)
    def can_begin(self) -> dict[str, Any]:
        """Whether a channel of MSC4388 can be begun."""
        return {"create_available": True}

    @endpoint("POST", _NEW, auth=Auth.NONE, rate_limit=_LIMIT, max_body=_MAX_BODY)
    def begin_rendezvous(self, body: Begin) -> dict[str, Any]:
        """Begin a channel of MSC4388."""
        session = self._rendezvous.begin(_checked(body.data.encode()))
        return {"id": session.id, **self._told(session)}

    @endpoint("GET", f"{_NEW}/{{session_id}}", auth=Auth.NONE, rate_limit=_LIMIT)
    def read_rendezvous(self, session_id: str, request: Request) -> dict[str, Any]:
        """Its latest word; nobody is to be lured into opening it as a page."""
        if request.header("sec-fetch-mode") == "navigate":
            raise Forbidden("this is no page")
        session = self._rendezvous.load(session_id)
        return {"data": session.data.decode("utf-8", "replace"), **self._told(session)}

    @endpoint("PUT", f"{_NEW}/{{session_id}}", auth=Auth.NONE, rate_limit=_LIMIT, max_body=_MAX_BODY)
    def write_rendezvous(self, session_id: str, body: Write) -> dict[str, Any]:
        """Its next word, from somebody who knows the latest."""
        data = _checked(body.data.encode())
        try:
            session = self._rendezvous.write(session_id, data, body.sequence_token)
        except Conflict as conflict:
            if conflict.session.data == data and conflict.session.previous == body.sequence_token:
                # The answer was lost, and this is the same word again.
                return {"sequence_token": conflict.session.tag}
            raise WriteConflict(
                "somebody else has written", errcode="IO_ELEMENT_MSC4388_CONCURRENT_WRITE"
            ) from None
        return {"sequence_token": session.tag}

    @endpoint("DELETE", f"{_NEW}/{{session_id}}", auth=Auth.NONE, rate_limit=_LIMIT)
    def end_rendezvous(self, session_id: str) -> Empty:
        """Its end."""
        self._rendezvous.end(session_id)
        return Empty()

    def _check_text(self, request: Request) -> None:
        kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
        if kind != "text/plain":
            raise MatrixError("the body must be text/plain", errcode="M_INVALID_PARAM")
        _checked(request.body)

    def _told(self, session: Session) -> dict[str, Any]:
        return {"sequence_token": session.tag, "expires_in_ms": self._rendezvous.left_ms(session)}

    def _headers(self, session: Session) -> dict[str, str]:
        return {
            "ETag": f'"{session.tag}"',
            "Expires": formatdate(session.expires_ms / 1000, usegmt=True),
            "Last-Modified": formatdate(session.written_ms / 1000, usegmt=True),
            "Access-Control-Expose-Headers": "ETag",
            "Cache-Control": "no-store, no-transform",
            "Pragma": "no-cache",
        }


def _checked(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise TooLarge(f"more than {MAX_BYTES} bytes")
    return data
