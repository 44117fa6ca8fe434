"""The web page at `/`: a small client of our own, so that whoever has started the server can chat at once.

Its files are read once. Everything it loads comes from this server; the policy allows nothing else.
"""

from __future__ import annotations

import hashlib
import mimetypes
from importlib.resources import files

from homeserver.errors import NotFound
from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.request import Request
from homeserver.http.responses import Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
INDEX = "index.html"


class PageFile:
    """A file of the page, and what is said with it."""

    def __init__(self, name: str, body: bytes) -> None:
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if kind in ("application/javascript", "text/javascript"):
            kind = "text/javascript"
        if kind.startswith("text/"):
            kind += "; charset=utf-8"
        self.body = body
        self.tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        self.headers = {
            "Content-Type": kind,
            # Asked for again every time, and answered with 304 while it has not changed: a new release is seen at once.
            "Cache-Control": "no-cache",
            "ETag": self.tag,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Content-Security-Policy": POLICY,
        }

    def answer(self, request: Request) -> Response:
        if request.header("if-none-match") == self.tag:
            return Response(304, b"", self.headers)
        return Response(200, self.body, self.headers)


def load_files() -> dict[str, PageFile]:
    """The page's files by name."""
    directory = files("homeserver.web") / "static"
    return {one.name: PageFile(one.name, one.read_bytes()) for one in directory.iterdir() if one.is_file()}


class PageEndpoints:
    """The page, or the way to the one that the operator prefers."""

    def __init__(self, redirect: str | None) -> None:
        self._redirect = redirect
        self._files = load_files()

    @endpoint("GET", "/", auth=Auth.NONE)
    async def get_page(self, request: Request) -> Response:
        """The page."""
        if self._redirect is not None:
            return Response(302, b"", {"Location": self._redirect})
        return self._files[INDEX].answer(request)

    @endpoint("GET", "/web/{name}", auth=Auth.NONE)
    async def get_page_file(self, name: str, request: Request) -> Response:
        """A file that the page consists of."""
        found = self._files.get(name)
        if found is None:
            raise NotFound(f"the page has no file {name}")
        return found.answer(request)
