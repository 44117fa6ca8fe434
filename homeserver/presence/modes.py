"""What users want to be shown as, whatever their devices do: account data that every server process follows.

Since it is account data, a stock client may set it as well, and it outlives restarts.
"""

from __future__ import annotations

from enum import Enum

from homeserver.ids import NAMESPACE
from homeserver.presence import states

PRESENCE = f"{NAMESPACE}presence"
"""The account data: `{"mode": "invisible"}`."""


class Mode(Enum):
    """One that is not simply what the devices say; `ceiling` is the most that is shown of who is there."""

    AWAY = ("away", states.UNAVAILABLE)
    BUSY = ("busy", states.UNAVAILABLE)
    OFFLINE = ("offline", states.OFFLINE)
    INVISIBLE = ("invisible", states.OFFLINE)

    def __init__(self, word: str, ceiling: str) -> None:
        self.word = word
        self.ceiling = ceiling

    @classmethod
    def find(cls, word: object) -> Mode | None:
        """The mode of this name; None for `online`, and for what is none."""
        return next((mode for mode in cls if mode.word == word), None)
