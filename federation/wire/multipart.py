"""Media as servers hand it to one another: `multipart/mixed` of exactly two parts, read as it arrives.

The first part is JSON about the media (an empty object so far); the second is the media itself or a `Location`
where it can be had. Spec: https://spec.matrix.org/v1.19/server-server-api/#content-repository
"""

from __future__ import annotations

from collections.abc import Callable
from email.message import Message

from homeserver.errors import RemoteError

MAX_HEAD_BYTES = 8192
MAX_METADATA_BYTES = 64 * 1024
_MAX_BOUNDARY = 70


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a `multipart/mixed` Content-Type; None if it is something else."""
    parsed = Message()
    parsed["content-type"] = content_type
    if parsed.get_content_type() != "multipart/mixed":
        return None
    boundary = parsed.get_param("boundary")
    if not isinstance(boundary, str) or not 0 < len(boundary) <= _MAX_BOUNDARY:
        return None
    return boundary.encode("latin-1", "replace")


def build_head(boundary: bytes, headers: dict[str, str]) -> bytes:
    """Everything that comes before the media; after it comes `build_tail`."""
    lines = b"".join(f"{name}: {_one_line(value)}\r\n".encode() for name, value in headers.items())
    return b"--%b\r\nContent-Type: application/json\r\n\r\n{}\r\n--%b\r\n%b\r\n" % (boundary, boundary, lines)


def build_tail(boundary: bytes) -> bytes:
    return b"\r\n--%b--\r\n" % boundary


def _one_line(value: str) -> str:
    return value.replace("\r", "").replace("\n", "")


class MediaParts:
    """Takes a multipart body piece by piece and passes the second part on.

    `on_head` gets the media's headers (names in lower case) once, then `on_data` the media as it comes.
    """

    def __init__(
        self,
        boundary: bytes,
        on_head: Callable[[dict[str, str]], None],
        on_data: Callable[[bytes], None],
    ) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._on_head = on_head
        self._on_data = on_data
        # The first delimiter may stand at the very start: pretend that a line ended before it.
        self._buffer = bytearray(b"\r\n")
        self._part = -1
        self._in_head = False
        self._at_start = False
        self._metadata_bytes = 0
        self._is_complete = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            RemoteError: it is not what the specification says.
        """
        if self._is_complete:
            # RFC 2046: what comes after the last delimiter is to be ignored.
            return
        self._buffer += data
        while not self._is_complete and (self._read_head() if self._in_head else self._read_body()):
            pass

    def finish(self) -> None:
        """The body has ended.

        Raises:
            RemoteError: but its parts have not.
        """
        if not self._is_complete:
            raise RemoteError("the multipart body ends before its last part does")

    def _read_head(self) -> bool:
        # An empty head is just the empty line.
        end = 0 if self._buffer.startswith(b"\r\n") else self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise RemoteError("a part of the multipart body has too many headers")
            return False
        headers = _parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + (2 if end == 0 else 4)]
        self._in_head = False
        self._at_start = True
        if self._part == 1:
            self._on_head(headers)
        return True

    def _read_body(self) -> bool:
        if self._at_start:
            # COMPAT(peers): the line end that belongs to the delimiter is left out after an empty part.
            bare = self._delimiter[2:]
            if len(self._buffer) < len(bare) and bare.startswith(self._buffer):
                return False
            if self._buffer.startswith(bare):
                self._buffer[:0] = b"\r\n"
            self._at_start = False
        found = self._buffer.find(self._delimiter)
        if found < 0:
            # The end of the buffer may be the beginning of a delimiter.
            kept = len(self._delimiter) - 1
            if len(self._buffer) > kept:
                self._pass_on(bytes(self._buffer[:-kept]))
                del self._buffer[:-kept]
            return False
        after = found + len(self._delimiter)
        if len(self._buffer) < after + 2:
            return False
        ending = bytes(self._buffer[after : after + 2])
        if ending != b"--" and ending != b"\r\n":
            # Transport padding: spaces may stand between the boundary and the end of its line.
            line_end = self._buffer.find(b"\r\n", after)
            if line_end < 0:
                if len(self._buffer) - after > MAX_HEAD_BYTES:
                    raise RemoteError("a delimiter of the multipart body has no end")
                return False
            if self._buffer[after:line_end].strip(b" \t"):
                # The boundary is only the beginning of a longer line: it is data after all.
                self._pass_on(bytes(self._buffer[:after]))
                del self._buffer[:after]
                return True
            after = line_end
        self._pass_on(bytes(self._buffer[:found]))
        del self._buffer[: after + 2]
        self._part += 1
        if ending == b"--":
            if self._part != 2:
                raise RemoteError(f"the multipart body has {self._part} parts, not 2")
            self._is_complete = True
        elif self._part > 1:
            raise RemoteError("the multipart body has more than 2 parts")
        else:
            self._in_head = True
        return True

    def _pass_on(self, data: bytes) -> None:
        if self._part == 1:
            if data:
                self._on_data(data)
        elif self._part == 0:
            self._metadata_bytes += len(data)
            if self._metadata_bytes > MAX_METADATA_BYTES:
                raise RemoteError("the multipart body's metadata is too large")


def _parse_head(head: bytes) -> dict[str, str]:
    headers = {}
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers
