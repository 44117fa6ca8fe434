"""Reads HTTP/1.1 answers out of the bytes that a server writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from tests.conformance.validator import Answer


@dataclass(slots=True)
class _Head:
    status: int
    headers: dict[str, str] = field(default_factory=dict)


class _Framing(Enum):
    HEAD = 1
    LENGTH = 2
    CHUNK_SIZE = 3
    CHUNK = 4
    UNTIL_CLOSE = 5
    UPGRADED = 6


class ProtocolFault(AssertionError):
    """The server wrote something that is not HTTP."""


def parse_head(raw: bytes) -> tuple[int, Mapping[str, str]]:
    """The status and the headers, names in lower case, of an answer's head; repeated ones are joined."""
    first, *lines = raw.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not rest[:3].isdigit():
        raise ProtocolFault(f"not a status line: {first!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or not name:
            raise ProtocolFault(f"not a header: {line!r}")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(rest[:3]), headers


class AnswerReader:
    """Takes the bytes of one connection and hands on each answer once it is complete.

    `upgraded` gets everything that follows a 101.
    """

    def __init__(self, answered: Callable[[Answer], object], upgraded: Callable[[bytes], object]) -> None:
        self._answered = answered
        self._upgraded = upgraded
        self._buffer = b""
        self._framing = _Framing.HEAD
        self._head = _Head(0)
        self._body: list[bytes] = []
        self._wanted = 0
        self.head_only = False

    @property
    def is_idle(self) -> bool:
        """Whether no answer has begun."""
        return self._framing is _Framing.HEAD and not self._buffer

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while self._step():
            pass

    def closed(self) -> None:
        """The server has closed the connection."""
        if self._framing is _Framing.UNTIL_CLOSE:
            self._body.append(self._buffer)
            self._buffer = b""
            self._complete()

    def _step(self) -> bool:
        match self._framing:
            case _Framing.HEAD:
                return self._step_head()
            case _Framing.LENGTH | _Framing.CHUNK:
                return self._step_counted()
            case _Framing.CHUNK_SIZE:
                return self._step_chunk_size()
            case _Framing.UPGRADED:
                data, self._buffer = self._buffer, b""
                if data:
                    self._upgraded(data)
                return False
            case _Framing.UNTIL_CLOSE:
                return False

    def _step_head(self) -> bool:
        raw, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        self._buffer = rest
        status, headers = parse_head(raw)
        if status == 100:
            return True
        self._head = _Head(status, dict(headers))
        self._body = []
        if status == 101:
            self._framing = _Framing.UPGRADED
            self._answered(Answer(status, headers))
        elif self.head_only or status in (204, 304):
            self._complete()
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            self._framing = _Framing.CHUNK_SIZE
        elif "content-length" in headers:
            self._wanted = int(headers["content-length"])
            self._framing = _Framing.LENGTH
        else:
            self._framing = _Framing.UNTIL_CLOSE
        return True

    def _step_counted(self) -> bool:
        is_chunk = self._framing is _Framing.CHUNK
        needed = self._wanted + 2 if is_chunk else self._wanted
        if len(self._buffer) < needed:
            return False
        self._body.append(self._buffer[: self._wanted])
        ending, self._buffer = self._buffer[self._wanted : needed], self._buffer[needed:]
        if not is_chunk:
            self._complete()
        else:
            if ending != b"\r\n":
                raise ProtocolFault(f"a chunk ends in {ending!r}")
            if self._wanted == 0:
                self._complete()
            else:
                self._framing = _Framing.CHUNK_SIZE
        return True

    def _step_chunk_size(self) -> bool:
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return False
        self._wanted = int(line.partition(b";")[0], 16)
        self._buffer = rest
        self._framing = _Framing.CHUNK
        return True

    def _complete(self) -> None:
        head, body = self._head, b"".join(self._body)
        self._framing = _Framing.HEAD
        self._answered(Answer(head.status, head.headers, body))
