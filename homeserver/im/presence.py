"""Presence of this API: one word for how somebody wants to be shown, over what their devices say."""

from __future__ import annotations

from typing import Literal

from homeserver.errors import InvalidParam
from homeserver.ids import UserID
from homeserver.im.own_data import OwnData
from homeserver.presence.modes import PRESENCE
from homeserver.presence.presence import Presence
from homeserver.presence.states import OFFLINE, ONLINE, UNAVAILABLE

Status = Literal["online", "away", "busy", "invisible", "offline"]
MAX_MESSAGE = 256
_STATES = {"online": ONLINE, "away": UNAVAILABLE, "busy": UNAVAILABLE}


class OwnPresence:
    """Says how one wants to be shown."""

    def __init__(self, own: OwnData, presence: Presence) -> None:
        self._own = own
        self._presence = presence

    async def choose(self, user_id: UserID, status: Status, message: str | None) -> None:
        """Keep the mode, which the server follows from the account data, and say the state and the message.

        Somebody who hides is hidden before anything else is said of them.

        Raises:
            InvalidParam: the message is too long.
        """
        if message is not None and len(message) > MAX_MESSAGE:
            raise InvalidParam(f"message: at most {MAX_MESSAGE} characters")
        await self._own.merge(user_id, None, PRESENCE, {"mode": status})
        await self._presence.choose(user_id, _STATES.get(status, OFFLINE), message)
