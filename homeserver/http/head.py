"""The head of an HTTP/1.1 request: its request line and headers, read strictly.

Whatever a proxy in front might read in another way than we do is refused, since that difference is how
requests are smuggled past it: bare CR or LF, folded lines, spaces around a header's name, two lengths, a
length beside an encoding. Spec: https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import re

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
BLOCKS_KEPT = 2048
MAX_BLOCK_KEPT = 1024
"""The largest header block that is remembered."""

CHUNKED = -1
"""The length of a body that comes in chunks."""

Headers = dict[bytes, bytes]

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_REQUEST_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])"
).fullmatch
_NOT_ASCII = re.compile(rb"[\x80-\xff]").sub
_LENGTH = re.compile(rb"[0-9]{1,15}").fullmatch
_ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)

_COMMON = (
    "Host User-Agent Accept Accept-Encoding Accept-Language Authorization Connection Content-Length "
    "Content-Type Transfer-Encoding Expect Origin Referer X-Forwarded-For X-Forwarded-Proto "
    "X-Forwarded-Host X-Real-IP Upgrade Cache-Control Pragma If-None-Match If-Match If-Modified-Since "
    "Range Cookie DNT Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-WebSocket-Key "
    "Sec-WebSocket-Version Sec-WebSocket-Protocol Sec-WebSocket-Extensions"
)
# The names that nearly every header bears, to their lower case: neither checked nor stored again each time.
_NAMES: dict[bytes, bytes] = {}
for _name in _COMMON.encode().split():
    _lower = _name.lower()
    _NAMES[_name] = _NAMES[_lower] = _lower
# What may be said only once: two of them are two readings.
_SINGLE = frozenset({b"host", b"content-length", b"transfer-encoding", b"content-type"})


class BadRequest(Exception):
    """The request is not HTTP as we speak it; the connection is of no further use."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Head:
    """A parsed request head. `target` is the path and query, `block` the headers, both as they came."""

    __slots__ = ("block", "headers", "is_1_1", "length", "method", "target")

    def __init__(
        self, method: str, target: str, block: bytes, headers: Headers, length: int, *, is_1_1: bool
    ) -> None:
        self.method = method
        self.target = target
        self.is_1_1 = is_1_1
        self.block = block
        self.headers = headers
        self.length = length

    def as_received(self) -> bytes:
        """The head and the empty line after it, for a protocol that takes the connection over."""
        line = f"{self.method} {self.target} HTTP/1.{1 if self.is_1_1 else 0}\r\n"
        return line.encode("ascii") + self.block + b"\r\n\r\n"


class KnownBlocks:
    """Header blocks that have been read before, as HTTP/1.1: most clients say the same with every request.

    One for all connections of a listener, since proxies send anybody's request on any connection.
    """

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: dict[bytes, tuple[Headers, int]] = {}

    def read(self, block: bytes) -> tuple[Headers, int]:
        """The headers, which nobody may change, and the length of the body."""
        found = self._blocks.get(block)
        if found is None:
            found = _read_block(block, is_1_1=True)
            if len(block) <= MAX_BLOCK_KEPT:
                if len(self._blocks) >= BLOCKS_KEPT:
                    del self._blocks[next(iter(self._blocks))]
                self._blocks[block] = found
        return found


def parse_head(data: bytes, known: KnownBlocks | None = None) -> Head:
    """Read a head, without the empty line that ends it.

    Raises:
        BadRequest: anything is out of order.
    """
    line, _, block = data.partition(b"\r\n")
    request_line = _REQUEST_LINE(line)
    if request_line is None:
        raise BadRequest("malformed request line")
    method, target, minor = request_line.groups()
    is_1_1 = minor == b"1"
    headers, length = known.read(block) if known is not None and is_1_1 else _read_block(block, is_1_1=is_1_1)
    if not target.isascii():
        # COMPAT(clients): some send UTF-8 as it is.
        target = _NOT_ASCII(lambda found: b"%%%02X" % found[0][0], target)
    path = _origin_form(target.decode("ascii"))
    return Head(method.decode("ascii"), path, block, headers, length, is_1_1=is_1_1)


def _read_block(block: bytes, *, is_1_1: bool) -> tuple[Headers, int]:
    headers = _parse_headers(block)
    if is_1_1 and b"host" not in headers:
        raise BadRequest("no Host header")
    return headers, _body_length(headers, is_1_1=is_1_1)


def _parse_headers(block: bytes) -> Headers:
    headers: Headers = {}
    if not block:
        return headers
    lines = block.split(b"\r\n")
    ends = len(lines) - 1
    if ends >= MAX_HEADERS:
        raise BadRequest("too many headers", 431)
    if block.count(b"\n") != ends or block.count(b"\r") != ends or b"\0" in block:
        raise BadRequest("control characters in the head")
    for line in lines:
        name, colon, value = line.partition(b":")
        known = _NAMES.get(name)
        if known is None:
            if not _TOKEN(name):
                raise BadRequest("malformed header")
            known = name.lower()
        if not colon:
            raise BadRequest("malformed header")
        value = value.strip(b" \t")
        if known in headers:
            if known in _SINGLE:
                raise BadRequest(f"more than one {known.decode()} header")
            value = headers[known] + b", " + value
        headers[known] = value
    return headers


def _body_length(headers: Headers, *, is_1_1: bool) -> int:
    length = headers.get(b"content-length")
    encoding = headers.get(b"transfer-encoding")
    if encoding is not None:
        if length is not None or not is_1_1:
            raise BadRequest("a Transfer-Encoding where none may be")
        if encoding.lower() != b"chunked":
            raise BadRequest("unknown Transfer-Encoding", 501)
        return CHUNKED
    if length is None:
        return 0
    if not _LENGTH(length):
        raise BadRequest("malformed Content-Length")
    return int(length)


def _origin_form(target: str) -> str:
    """The path and query of a target; a proxy may send a whole URL, and `*` asks about the server itself."""
    if target.startswith("/") or target == "*":
        return target
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        raise BadRequest("malformed request target")
    rest = target[absolute.end() :]
    return rest if rest.startswith("/") else f"/{rest}"
