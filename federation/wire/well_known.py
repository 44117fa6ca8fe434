"""The delegation file of a server, and for how long to believe it.

Spec: https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from homeserver.errors import MatrixError
from homeserver.events.canonical_json import decode_json
from homeserver.ids import ServerName, is_server_name

PATH = "/.well-known/matrix/server"
MAX_BYTES = 50 * 1024
MAX_REDIRECTS = 8

DEFAULT_LIFETIME_MS = 24 * 3600 * 1000
MAX_LIFETIME_MS = 48 * 3600 * 1000
MIN_LIFETIME_MS = 5 * 60 * 1000
"""What a server asks to be cached for less than this is asked for again no sooner."""

FIRST_ERROR_LIFETIME_MS = 60 * 1000
MAX_ERROR_LIFETIME_MS = 3600 * 1000


def parse_well_known(body: bytes) -> ServerName | None:
    """The server that the file delegates to; None if it is invalid, which is not an error."""
    try:
        value = decode_json(body)
    except MatrixError:
        return None
    name = value.get("m.server") if isinstance(value, dict) else None
    return ServerName(name) if isinstance(name, str) and is_server_name(name) else None


def lifetime_ms(headers: Mapping[str, str], *, now_ms: int) -> int:
    """How long a valid file may be cached, by its headers (names in lower case)."""
    directives = _cache_directives(headers.get("cache-control", ""))
    asked: int | None = None
    if "no-store" in directives or "no-cache" in directives:
        asked = 0
    elif (max_age := directives.get("max-age", "")).isascii() and max_age.isdigit():
        # A number of any length may be written here.
        asked = int(max_age[:12]) * 1000
    elif "expires" in headers:
        asked = _milliseconds_until(headers["expires"], now_ms)
    if asked is None:
        return DEFAULT_LIFETIME_MS
    return max(MIN_LIFETIME_MS, min(asked, MAX_LIFETIME_MS))


def error_lifetime_ms(failures: int) -> int:
    """How long to remember that there is no valid file, after so many failures in a row."""
    doubled: int = FIRST_ERROR_LIFETIME_MS << min(max(failures - 1, 0), 16)
    return min(doubled, MAX_ERROR_LIFETIME_MS)


def _cache_directives(value: str) -> dict[str, str]:
    directives = {}
    for part in value.split(","):
        name, _, argument = part.strip().partition("=")
        directives[name.strip().lower()] = argument.strip().strip('"')
    return directives


def _milliseconds_until(date: str, now_ms: int) -> int:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        # RFC 9111: an invalid date, such as "0", means that it has expired.
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000) - now_ms
