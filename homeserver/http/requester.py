"""Who makes a client request, as the access token says."""

from __future__ import annotations

from dataclasses import dataclass

from homeserver.ids import DeviceID, UserID


@dataclass(frozen=True, slots=True)
class Requester:
    """The user on whose behalf a handler acts, and what that user may not do.

    `appservice_id` is set when an application service acts as one of its users. Those who are not
    `is_rate_limited` (application services that ask for it, users an administrator has exempted) pass every
    rate limit.
    """

    user_id: UserID
    device_id: DeviceID | None = None
    token_id: int | None = None
    is_guest: bool = False
    is_admin: bool = False
    appservice_id: str | None = None
    is_locked: bool = False
    is_suspended: bool = False
    is_rate_limited: bool = True
