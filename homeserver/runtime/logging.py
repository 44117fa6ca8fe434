"""Log lines: structlog to one stream, as JSON or for the eye, with the request's ID and never with a secret.

Twisted's own log events and those of libraries that use the standard library come out the same way.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, BinaryIO, cast

import msgspec
import structlog
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogBeginner
from zope.interface import implementer

from homeserver.runtime.context import request_id

HIDDEN = "<hidden>"

_SECRET_KEYS = re.compile(
    r"(?:^|_)(?:password|passwd|secret|token|access_token|refresh_token|authorization|cookie|mac|private_key|"
    r"signing_key|client_secret|api_key|otp|code_verifier)$",
    re.IGNORECASE,
)
_SECRETS_IN_TEXT = re.compile(
    r"(?P<name>(?:access_token|refresh_token|login_token|loginToken|client_secret|password|secret|token|code)"
    r"[\"']?\s*[=:]\s*[\"']?)(?P<value>[^\s\"'&,;)}\]]+)"
    r"|(?P<scheme>\b(?:Bearer|Basic)\s+)(?P<credential>[A-Za-z0-9._~+/=-]{6,})"
    r"|(?P<userinfo>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)(?P<password>[^\s/@]+)(?=@)",
)
_MARKS = ("oken", "ecret", "assword", "earer", "asic", "code", "://")


def hide_secrets(text: str) -> str:
    """The text without the values of what looks like a credential."""
    if not any(mark in text for mark in _MARKS):
        return text
    return _SECRETS_IN_TEXT.sub(
        lambda found: (found["name"] or found["scheme"] or found["userinfo"]) + HIDDEN, text
    )


def _hide(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = HIDDEN if _SECRET_KEYS.search(key) else hide_secrets(value)
        elif value is not None and not isinstance(value, int | float) and _SECRET_KEYS.search(key):
            event[key] = HIDDEN
    return event


def _add_request(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if (request := request_id()) != "-":
        event.setdefault("request", request)
    return event


def _to_json(event: dict[str, Any], **_: object) -> bytes:
    return msgspec.json.encode(event, enc_hook=repr)


def set_up_logging(*, level: str = "INFO", json: bool = False, stream: BinaryIO | None = None) -> None:
    """Send everything that this process logs at `level` or above to `stream` (standard error unless told)."""
    out = sys.stderr.buffer if stream is None else stream
    threshold = logging.getLevelNamesMapping()[level.upper()]
    renderers: list[Any]
    if json:
        renderers = [structlog.processors.JSONRenderer(serializer=_to_json)]
    else:
        colors = out.isatty()
        console = structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
        )
        renderers = [
            console,
            lambda _logger, _method, line: cast(str, line).encode("utf-8", "backslashreplace"),
        ]
    structlog.configure(
        processors=[
            _add_request,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _hide,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(file=out),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(max(threshold, logging.INFO))


def capture_twisted() -> None:
    """Take over Twisted's log. Once for a process, after `set_up_logging`."""
    globalLogBeginner.beginLoggingTo(
        [cast(ILogObserver, _TwistedObserver())], redirectStandardIO=False, discardBuffer=True
    )


class _ToStructlog(logging.Handler):
    """What libraries say through the standard library."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(
            record.levelno, record.getMessage(), source=record.name, exc_info=record.exc_info
        )


@implementer(ILogObserver)
class _TwistedObserver:
    """What Twisted says: its failures in full, its chatter only when somebody debugs."""

    def __call__(self, event: LogEvent) -> None:
        logger = structlog.get_logger("twisted")
        level = event.get("log_level")
        failure = event.get("log_failure")
        text = formatEvent(event)
        source = event.get("log_namespace", "twisted")
        if failure is not None:
            error = failure.value
            logger.error(text, source=source, exc_info=(type(error), error, failure.getTracebackObject()))
        elif level in (LogLevel.warn, LogLevel.error, LogLevel.critical):
            logger.warning(text, source=source)
        else:
            logger.debug(text, source=source)
