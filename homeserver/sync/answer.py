"""What a poll is answered with."""

from __future__ import annotations

from dataclasses import dataclass

from homeserver.rooms.tokens import StreamToken


@dataclass(slots=True)
class Answer:
    """A ready body; `is_empty` if there is nothing in it but the token."""

    body: bytes
    token: StreamToken
    is_empty: bool
