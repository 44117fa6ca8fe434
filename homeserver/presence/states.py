"""What a user's presence is, as others read it.

Spec: https://spec.matrix.org/v1.19/client-server-api/#presence
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from homeserver.ids import UserID

ONLINE = "online"
UNAVAILABLE = "unavailable"
OFFLINE = "offline"
STATES = (ONLINE, UNAVAILABLE, OFFLINE)


@dataclass(slots=True, frozen=True)
class PresenceState:
    """One user's presence; times are wall-clock ms."""

    presence: str = OFFLINE
    status_msg: str | None = None
    last_active_ms: int = 0
    currently_active: bool = False

    def content(self, now_ms: int) -> dict[str, Any]:
        """The content of an `m.presence` event, and the body of the status endpoint."""
        content: dict[str, Any] = {"presence": self.presence}
        if self.last_active_ms:
            content["last_active_ago"] = max(0, now_ms - self.last_active_ms)
        if self.status_msg is not None:
            content["status_msg"] = self.status_msg
        if self.presence == ONLINE:
            content["currently_active"] = self.currently_active
        return content

    def event(self, user_id: UserID, now_ms: int) -> dict[str, Any]:
        return {"type": "m.presence", "sender": user_id, "content": self.content(now_ms)}
