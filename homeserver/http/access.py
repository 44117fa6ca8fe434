"""The access line: one for each request, in the shape that operators' tools know from Synapse.

They are written together a moment later, and only then put into words: a logger call for each would cost as much
as the rest of a small request. Access tokens and other secrets in the query never get into a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from time import gmtime, strftime

from homeserver.http.counts import RequestCounts
from homeserver.http.request import Request
from homeserver.runtime.clock import Clock

FLUSH_AFTER_S = 0.25
FLUSH_LINES = 1000

# All begin with a plain "&", which a search looks for before anything else: half the time of "(?:^|&)".
_hide_secrets = re.compile(
    r"(&(?:access_token|loginToken|login_token|token|client_secret|code|state|sid|signature)=)[^&\s]*"
).sub
_has_secrets = re.compile(
    r"&(?:access_token|login_?[tT]oken|token|client_secret|code|state|sid|signature)="
).search
_has_encoded_name = re.compile(r"&[^=&]*%").search

_Answered = tuple[int, float, str, str, str | None, int, str, str, str, str, bool, bytes]
"""What a line tells, in the order of `AccessLog._line`."""


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
        self._waiting: list[_Answered] = []
        self._is_timed = False
        self._second = -1
        self._date = ""

    def record(self, request: Request, *, status: int, size: int) -> None:
        """Note one request that is done; `!` stands after the status if the client left before its answer."""
        took_s = self._clock.seconds() - request.received_at
        if self._counts is not None:
            self._counts.count(request, status, took_s)
        if self._write is None:
            return
        status_text = f"{status}!" if request.is_disconnected else str(status)
        self._waiting.append(
            (
                self._clock.now_ms(),
                took_s,
                request.request_id,
                request.client_address,
                request.user,
                size,
                status_text,
                request.method,
                request.path,
                request.query_string,
                request.is_http_1_1,
                request.user_agent,
            )
        )
        if len(self._waiting) >= FLUSH_LINES:
            self.flush()
        elif not self._is_timed:
            self._is_timed = True
            self._clock.call_later(FLUSH_AFTER_S, self._flush_later)

    def _flush_later(self) -> None:
        self._is_timed = False
        self.flush()

    def flush(self) -> None:
        """Write what has been collected; at shutdown too."""
        waiting, self._waiting = self._waiting, []
        if waiting and self._write is not None:
            self._write("".join([self._line(one) for one in waiting]))

    def _line(self, one: _Answered) -> str:
        now_ms, took_s, request_id, address, user, size, status, method, target, query, is_1_1, agent = one
        second, ms = divmod(now_ms, 1000)
        if second != self._second:
            self._second = second
            self._date = strftime("%Y-%m-%d %H:%M:%S", gmtime(second))
        if query:
            target = f"{target}?{redact(query)}"
        return (
            f"{self._date},{ms:03} - homeserver.access - INFO - {request_id} - {address} - {self._site} - "
            f"{{{user}}} Processed request: {took_s:.3f}sec/0.000sec (0.000sec, 0.000sec) (0.000sec/0.000sec/0) "
            f'{size}B {status} "{method} {target} HTTP/1.{1 if is_1_1 else 0}" "{_printable(agent)}" '
            "[0 dbevts]\n"
        )


def redact(query_string: str) -> str:
    """The query without the values of secrets.

    A name that is percent-encoded would slip through, so an encoded name hides the whole query.
    """
    marked = f"&{query_string}"
    if _has_secrets(marked):
        marked = _hide_secrets(r"\1<redacted>", marked)
    if "%" in query_string and _has_encoded_name(marked):
        return "<redacted>"
    return marked[1:]


@lru_cache(maxsize=128)
def _printable(user_agent: bytes) -> str:
    """A user agent that cannot forge a line or end its own quotes."""
    text = user_agent.decode("latin-1")
    if text.isascii() and text.isprintable() and '"' not in text:
        return text
    return text.encode("unicode_escape").decode("ascii").replace('"', "'")
