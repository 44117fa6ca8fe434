"""Profiles of users.

Spec: https://spec.matrix.org/v1.19/client-server-api/#profiles
"""

from __future__ import annotations

from typing import Any

from homeserver.errors import Forbidden, GuestForbidden, MissingParam
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import UserID
from homeserver.users.profiles import DISPLAY_NAME, MAX_PROFILE_BYTES, Profiles, check_key

_FIELD = "/_matrix/client/v3/profile/{user_id}/{key_name}"
_UNSTABLE_FIELD = "/_matrix/client/unstable/uk.tcpip.msc4133/profile/{user_id}/{key_name}"


def _check_may_change(profiles: Profiles, who: Requester, user_id: UserID, key_name: str) -> None:
    """Refuse who may not change this field.

    Raises:
        Forbidden: it is another user's, or the server does not let users change it.
        GuestForbidden: a guest has a display name and nothing more.
    """
    if who.user_id != user_id:
        raise Forbidden("you can only change your own profile")
    if who.is_guest and key_name != DISPLAY_NAME:
        raise GuestForbidden("guests may only change their display name")
    if not profiles.may_change(key_name):
        raise Forbidden(f"{key_name} is managed by the server")


class ProfileEndpoints:
    """Looking at profiles, and changing one's own."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles

    @endpoint(
        "GET",
        "/_matrix/client/v3/profile/{user_id}",
        auth=Auth.ACCESS_TOKEN_OPTIONAL,
        guests=True,
        aliases=("/_matrix/client/unstable/uk.tcpip.msc4133/profile/{user_id}",),
    )
    async def get_user_profile(self, who: Requester | None, user_id: UserID) -> dict[str, Any]:
        """A whole profile.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3profileuserid
        """
        await self._profiles.check_may_look(None if who is None else who.user_id, user_id)
        return await self._profiles.load(user_id)

    @endpoint("GET", _FIELD, auth=Auth.ACCESS_TOKEN_OPTIONAL, guests=True, aliases=(_UNSTABLE_FIELD,))
    async def get_profile_field(
        self, who: Requester | None, user_id: UserID, key_name: str
    ) -> dict[str, Any]:
        """One field of a profile.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3profileuseridkeyname
        """
        await self._profiles.check_may_look(None if who is None else who.user_id, user_id)
        return {key_name: await self._profiles.load_field(user_id, key_name)}

    @endpoint(
        "PUT",
        _FIELD,
        rate_limit=RateLimit("profile"),
        guests=True,
        suspended=False,
        aliases=(_UNSTABLE_FIELD,),
        max_body=2 * MAX_PROFILE_BYTES,
    )
    async def set_profile_field(
        self, who: Requester, user_id: UserID, key_name: str, body: dict[str, Any]
    ) -> Empty:
        """Set a field of one's own profile.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3profileuseridkeyname
        """
        check_key(key_name)
        _check_may_change(self._profiles, who, user_id, key_name)
        if key_name not in body:
            raise MissingParam(f"{key_name} is missing from the body")
        await self._profiles.set_field(user_id, key_name, body[key_name])
        return Empty()

    @endpoint(
        "DELETE",
        _FIELD,
        rate_limit=RateLimit("profile"),
        guests=True,
        suspended=False,
        aliases=(_UNSTABLE_FIELD,),
    )
    async def delete_profile_field(self, who: Requester, user_id: UserID, key_name: str) -> Empty:
        """Take a field out of one's own profile.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3profileuseridkeyname
        """
        check_key(key_name)
        _check_may_change(self._profiles, who, user_id, key_name)
        await self._profiles.delete_field(user_id, key_name)
        return Empty()
