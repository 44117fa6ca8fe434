"""Users of whom others shall not see that they are there; presence, which rooms do not know, says who."""

from __future__ import annotations

from collections.abc import Callable

from homeserver.ids import UserID

IsInvisible = Callable[[UserID], bool]


def nobody(user_id: UserID) -> bool:
    """Everybody may be seen, where there is no presence."""
    return False
