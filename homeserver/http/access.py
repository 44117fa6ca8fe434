"""The access line: one for each request, in the shape that operators' tools know from Synapse.

Lines are collected and written together a moment later: a logger call for each would cost as much as the rest
of a small request. Access tokens and other secrets in the query never get into a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from time import gmtime, strftime

from homeserver.http.counts import RequestCounts
from homeserver.http.request import Request
from homeserver.runtime.clock import Clock

FLUSH_AFTER_S = 0.25
FLUSH_LINES = 1000

_hide_secrets = re.compile(
    r"([?&](?:access_token|loginToken|login_token|token|client_secret|code|state|sid|signature)=)[^&\s]*"
).sub
_has_secrets = re.compile(
    r"[?&](?:access_token|login_?[tT]oken|token|client_secret|code|state|sid|signature)="
).search


class AccessLog:
    """Collects access lines for `write`, which gets them joined, each with its newline; counts in any case.

    Synapse's numbers of CPU time and of the database are zero here: taking them would cost more than they tell.
    """

    def __init__(
        self,
        clock: Clock,
        site: str,
        write: Callable[[str], object] | None,
        counts: RequestCounts | None = None,
    ) -> None:
        self._clock = clock
        self._site = site
        self._write = write
        self._counts = counts
        self._lines: list[str] = []
        self._is_waiting = False
        self._second = -1
        self._date = ""

    def record(self, request: Request, *, status: int, size: int) -> None:
        """Note one request that is done; `!` stands after the status if the client left before its answer."""
        took_s = self._clock.seconds() - request.received_at
        if self._counts is not None:
            self._counts.count(request, status, took_s)
        if self._write is None:
            return
        now_ms = self._clock.now_ms()
        second, ms = divmod(now_ms, 1000)
        if second != self._second:
            self._second = second
            self._date = strftime("%Y-%m-%d %H:%M:%S", gmtime(second))
        target = request.path
        if request.query_string:
            target = f"{target}?{redact(request.query_string)}"
        self._lines.append(
            f"{self._date},{ms:03} - homeserver.access - INFO - {request.request_id} - "
            f"{request.client_address} - {self._site} - {{{request.user}}} Processed request: "
            f"{took_s:.3f}sec/0.000sec (0.000sec, 0.000sec) (0.000sec/0.000sec/0) "
            f'{size}B {status}{"!" if request.is_disconnected else ""} "{request.method} {target} '
            f'HTTP/1.{1 if request.is_http_1_1 else 0}" "{_printable(request.user_agent)}" [0 dbevts]\n'
        )
        if len(self._lines) >= FLUSH_LINES:
            self.flush()
        elif not self._is_waiting:
            self._is_waiting = True
            self._clock.call_later(FLUSH_AFTER_S, self._flush_later)

    def _flush_later(self) -> None:
        self._is_waiting = False
        self.flush()

    def flush(self) -> None:
        """Write what has been collected; at shutdown too."""
        lines, self._lines = self._lines, []
        if lines and self._write is not None:
            self._write("".join(lines))


def redact(query_string: str) -> str:
    """The query without the values of secrets.

    A name that is percent-encoded would slip through, so an encoded name hides the whole query.
    """
    marked = f"?{query_string}"
    if _has_secrets(marked):
        marked = _hide_secrets(r"\1<redacted>", marked)
    if "%" in query_string and any("%" in pair.partition("=")[0] for pair in query_string.split("&")):
        return "<redacted>"
    return marked[1:]


def _printable(user_agent: bytes) -> str:
    """A user agent that cannot forge a line or end its own quotes."""
    text = user_agent.decode("latin-1")
    if text.isascii() and text.isprintable() and '"' not in text:
        return text
    return text.encode("unicode_escape").decode("ascii").replace('"', "'")
