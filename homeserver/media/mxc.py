"""The addresses of media: `mxc://server/id`.

Spec: https://spec.matrix.org/v1.19/client-server-api/#matrix-content-mxc-uris
"""

from __future__ import annotations

import re
from typing import NamedTuple

from homeserver.errors import InvalidParam
from homeserver.ids import ServerName, is_server_name

MAX_MEDIA_ID = 255

_is_media_id = re.compile(rf"[0-9A-Za-z_-]{{1,{MAX_MEDIA_ID}}}", re.ASCII).fullmatch


class Mxc(NamedTuple):
    """Which file of which server."""

    server_name: ServerName
    media_id: str

    def __str__(self) -> str:
        return f"mxc://{self.server_name}/{self.media_id}"


def check_media_id(media_id: str) -> str:
    """The ID, if it is one.

    Raises:
        InvalidParam: it has characters that no media ID may have. Nothing is ever looked up under those.
    """
    if not _is_media_id(media_id):
        raise InvalidParam("a media ID consists of letters, digits, `_` and `-`")
    return media_id


def parse_mxc(uri: object) -> Mxc | None:
    """The file that a URI names, or None if it is no such URI."""
    if not isinstance(uri, str) or not uri.startswith("mxc://"):
        return None
    server_name, _, media_id = uri[6:].partition("/")
    if not is_server_name(server_name) or not _is_media_id(media_id):
        return None
    return Mxc(ServerName(server_name), media_id)
