"""What a client asks of `/sync`, whichever transport it comes by."""

from __future__ import annotations

import msgspec

from homeserver.events.filters import Filter
from homeserver.ids import DeviceID, UserID
from homeserver.rooms.tokens import StreamToken

STATE_AFTER = "state_after"
STATE_AFTER_UNSTABLE = "org.matrix.msc4222.state_after"


class SyncRequest(msgspec.Struct, frozen=True):
    """One look at the log by one device."""

    user_id: UserID
    device_id: DeviceID | None
    filter: Filter
    since: StreamToken | None = None
    full_state: bool = False
    state_key: str = "state"
    """The name of the state section: "state", or one of the spellings of `state_after`."""
    is_guest: bool = False
    is_acknowledged: bool = True
    """Whether the client is known to have what came before `since`: over a socket only its pongs tell."""

    @property
    def wants_state_after(self) -> bool:
        return self.state_key != "state"
