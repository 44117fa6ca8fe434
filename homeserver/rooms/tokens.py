"""Places in the log that clients carry: sync tokens, and the tokens of `/messages`.

`s<position>_<ephemeral>` is a place in the log and one in the ephemeral counter. A sliding-sync `pos`, which ends in
`/s<position>_<ephemeral>`, is taken as well, so that a client may page back from whatever it holds.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from homeserver.errors import InvalidParam

_TOKEN = re.compile(r"(?:[0-9]{1,18}/)?s(-?[0-9]{1,18})(?:_([0-9]{1,18}))?", re.ASCII)


class StreamToken(NamedTuple):
    """Everything at or before `position` and `ephemeral` has been seen."""

    position: int
    ephemeral: int = 0

    def __str__(self) -> str:
        return f"s{self.position}_{self.ephemeral}"


def parse_token(value: str, *, name: str = "since") -> StreamToken:
    """The token that a client sent back.

    Raises:
        InvalidParam: it is none of ours.
    """
    found = _TOKEN.fullmatch(value)
    if found is None:
        raise InvalidParam(f"{name}: {value[:40]!r} is not a token of this server")
    return StreamToken(int(found[1]), int(found[2] or 0))
