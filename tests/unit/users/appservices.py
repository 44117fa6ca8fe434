"""An application service, as accounts see it."""

from __future__ import annotations

from dataclasses import dataclass

from homeserver.ids import UserID, localpart_of
from tests.unit.users.account_server import SERVER_NAME


@dataclass(frozen=True)
class Bridge:
    """Owns the users whose names begin with _irc_."""

    id: str = "irc"
    token: str = "bridge-token"
    is_rate_limited: bool = False

    @property
    def sender(self) -> UserID:
        return UserID(f"@ircbot:{SERVER_NAME}")

    def owns(self, user_id: UserID) -> bool:
        return user_id == self.sender or localpart_of(user_id).startswith("_irc_")


@dataclass(frozen=True)
class OneAppservice:
    """A server with one application service."""

    bridge: Bridge

    def find_by_token(self, token: str) -> Bridge | None:
        return self.bridge if token == self.bridge.token else None

    def exclusive_owner(self, user_id: UserID) -> str | None:
        return self.bridge.id if self.bridge.owns(user_id) else None
