"""What a file is said to be, made safe to say again.

Spec: https://spec.matrix.org/v1.19/client-server-api/#serving-inline-content
"""

from __future__ import annotations

import re
from email.message import Message
from urllib.parse import quote

UNKNOWN = "application/octet-stream"
MAX_TYPE = 255
MAX_FILENAME = 1024

INLINE = frozenset(
    {
        "text/css", "text/plain", "text/csv", "application/json", "application/ld+json", "image/jpeg",
        "image/gif", "image/png", "image/apng", "image/webp", "image/avif", "video/mp4", "video/webm",
        "video/ogg", "video/quicktime", "audio/mp4", "audio/webm", "audio/aac", "audio/mpeg", "audio/ogg",
        "audio/wave", "audio/wav", "audio/x-wav", "audio/x-pn-wav", "audio/flac", "audio/x-flac",
    }
)  # fmt: skip
"""What a browser may show in its place; it runs nothing."""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; "
        "style-src 'unsafe-inline'; media-src 'self'; object-src 'self';"
    ),
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow, noarchive, noimageindex",
}
"""With every file: whatever is in it, it may not act in our name.

Spec: https://spec.matrix.org/v1.19/client-server-api/#security-considerations-5
"""

_TOKEN = r"[0-9A-Za-z!#$&^_.+-]+"  # noqa: S105  # the grammar's word
_is_type = re.compile(
    rf'{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"[\x20\x21\x23-\x5b\x5d-\x7e]*"))*[ \t]*;?[ \t]*',
    re.ASCII,
).fullmatch
_is_plain = re.compile(r"[0-9A-Za-z!#$&+.^_`|~-]+", re.ASCII).fullmatch
_controls = re.compile(r"[\x00-\x1f\x7f]")


def content_type_of(said: str | None) -> str:
    """The type that an upload or another server names, if it is one."""
    if said is None or len(said) > MAX_TYPE or not _is_type(said):
        return UNKNOWN
    return said.strip(" \t;")


def media_type(content_type: str) -> str:
    """The type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def clean_filename(name: str | None) -> str | None:
    """A name without what no file's name has: control characters. Nothing but spaces is none."""
    cleaned = _controls.sub("", name or "")[:MAX_FILENAME]
    return cleaned if cleaned.strip() else None


def disposition(content_type: str, filename: str | None) -> str:
    """The Content-Disposition of a file: only harmless types are shown in their place."""
    kind = "inline" if media_type(content_type) in INLINE else "attachment"
    if not filename:
        return kind
    if _is_plain(filename):
        return f"{kind}; filename={filename}"
    if filename.isascii() and filename == filename.strip():
        escaped = filename.replace("\\", "\\\\").replace('"', '\\"')
        return f'{kind}; filename="{escaped}"'
    return f"{kind}; filename*=utf-8''{quote(filename, safe='', errors='replace')}"


def filename_of(content_disposition: str | None) -> str | None:
    """The file's name in a Content-Disposition of another server."""
    if not content_disposition:
        return None
    parsed = Message()
    # Header values come as Latin-1; names in them are UTF-8 as often as not.
    parsed["content-disposition"] = _controls.sub("", content_disposition)
    return clean_filename(parsed.get_filename())
