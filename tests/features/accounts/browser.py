"""Somebody's web browser: cookies, forms and redirects, over a server in memory."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.conformance.validator import Answer
from tests.harness.client import Client
from tests.harness.server import Server


class Form:
    """A form of a page: where it goes and what it holds."""

    def __init__(self, action: str, method: str) -> None:
        self.action = action
        self.method = method
        self.fields: dict[str, str] = {}
        self.buttons: list[tuple[str, str]] = []


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
        elif tag == "input" and self.forms and "name" in given:
            self.forms[-1].fields[given["name"]] = given.get("value", "")


class Browser:
    """Follows redirects within the server, and stops where one leaves it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._client: Client = server.client()
        self.cookies: dict[str, str] = {}
        self.url = ""
        self.answer: Answer | None = None
        self.left_for: str | None = None

    @property
    def text(self) -> str:
        """The page."""
        assert self.answer is not None
        return self.answer.body.decode()

    @property
    def forms(self) -> list[Form]:
        parser = _Forms()
        parser.feed(self.text)
        return parser.forms

    async def opens(self, url: str) -> Browser:
        """Go to a URL of the server."""
        await self._go("GET", url, b"")
        return self

    async def submits(self, fields: Mapping[str, str] | None = None, *, form: int = 0) -> Browser:
        """Fill in a form of the page, and send it."""
        what = self.forms[form]
        values = {**what.fields, **(fields or {})}
        action = what.action or self.url
        if what.method == "get":
            return await self.opens(f"{action}?{urlencode(values)}")
        await self._go("POST", action, urlencode(values).encode())
        return self

    async def logs_in(self, name: str, password: str) -> Browser:
        """Enter name and password on the login page."""
        assert "Log in" in self.text, self.text
        return await self.submits({"user": name, "password": password})

    async def _go(self, method: str, url: str, body: bytes) -> None:
        self.left_for = None
        for _ in range(8):
            parts = urlsplit(url)
            base = f"https://{self._server.name}"
            if parts.netloc and f"{parts.scheme}://{parts.netloc}" != base:
                self.left_for = url
                return
            if not parts.netloc and not url.startswith("/"):
                self.left_for = url
                return
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            headers = {"Cookie": "; ".join(f"{key}={value}" for key, value in self.cookies.items())}
            if body:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            self.answer = answer = await self._client.ask(method, target, raw=body, headers=headers)
            self.url = target
            cookie = answer.headers.get("set-cookie")
            if cookie is not None:
                name, _, value = cookie.partition(";")[0].partition("=")
                self.cookies[name] = value
            if answer.status != 303:
                return
            method, url, body = "GET", answer.headers["location"], b""
        raise AssertionError("too many redirects")

    def header(self, name: str) -> str:
        assert self.answer is not None
        value: Any = self.answer.headers[name]
        return str(value)
