"""Places in the log that clients carry: sync tokens, and the tokens of `/messages`.

`s<position>_<ephemeral>` is a place in the log and one in the ephemeral counter. Where more to-device messages wait
than an answer may hold, `_<position>` follows: that of the last one which the client was given. A sliding-sync `pos`,
which ends in `/s<position>_<ephemeral>`, is taken as well, so that a client may page back from whatever it holds.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from homeserver.errors import InvalidParam

_TOKEN = re.compile(r"(?:[0-9]{1,18}/)?s(-?[0-9]{1,18})(?:_([0-9]{1,18}))?(?:_([0-9]{1,18}))?", re.ASCII)


class StreamToken(NamedTuple):
    """All at or before `position` and `ephemeral` has been seen, but for to-device messages after `to_device`."""

    position: int
    ephemeral: int = 0
    to_device: int | None = None

    @property
    def received(self) -> int:
        """The position up to which the client has its to-device messages."""
        return self.position if self.to_device is None else self.to_device

    def __str__(self) -> str:
        held_back = "" if self.to_device is None else f"_{self.to_device}"
        return f"s{self.position}_{self.ephemeral}{held_back}"


def parse_token(value: str, *, name: str = "since") -> StreamToken:
    """The token that a client sent back.

    Raises:
        InvalidParam: it is none of ours.
    """
    if value.startswith("s") and value.isascii():
        # Nearly all that come back; without the regular expression for half the time.
        position, _, ephemeral = value[1:].partition("_")
        if position.isdecimal() and ephemeral.isdecimal() and len(value) <= 19:
            return StreamToken(int(position), int(ephemeral))
    found = _TOKEN.fullmatch(value)
    if found is None:
        raise InvalidParam(f"{name}: {value[:40]!r} is not a token of this server")
    return StreamToken(int(found[1]), int(found[2] or 0), None if found[3] is None else int(found[3]))
