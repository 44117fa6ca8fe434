"""Account data, of the account and of rooms.

Spec: https://spec.matrix.org/v1.19/client-server-api/#client-config
"""

from __future__ import annotations

from typing import Any

from homeserver.errors import Forbidden
from homeserver.http.endpoint import endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty, RawJson
from homeserver.ids import RoomID, UserID
from homeserver.users.account_data import AccountData
from homeserver.users.push_rules import PushRules

_GLOBAL = "/_matrix/client/v3/user/{user_id}/account_data/{type}"
_ROOM = "/_matrix/client/v3/user/{user_id}/rooms/{room_id}/account_data/{type}"
_MAX_BYTES = 1024 * 1024


class AccountDataEndpoints:
    """Reading and writing one's account data."""

    def __init__(self, account_data: AccountData, push_rules: PushRules) -> None:
        self._account_data = account_data
        self._push_rules = push_rules

    @endpoint("PUT", _GLOBAL, max_body=_MAX_BYTES)
    async def set_account_data(
        self, who: Requester, user_id: UserID, type: str, body: dict[str, Any]
    ) -> Empty:
        """Set account data of one type.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3useruseridaccount_datatype
        """
        _check_own(who, user_id)
        await self._account_data.set(user_id, None, type, body)
        return Empty()

    @endpoint("GET", _GLOBAL)
    async def get_account_data(self, who: Requester, user_id: UserID, type: str) -> RawJson | dict[str, Any]:
        """The account data of one type.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridaccount_datatype
        """
        _check_own(who, user_id)
        if type == "m.push_rules":
            return {"global": await self._push_rules.load(user_id)}
        return RawJson(await self._account_data.load(user_id, None, type))

    @endpoint("PUT", _ROOM, max_body=_MAX_BYTES)
    async def set_account_data_per_room(
        self, who: Requester, user_id: UserID, room_id: RoomID, type: str, body: dict[str, Any]
    ) -> Empty:
        """Set a room's account data of one type.

        Spec: https://spec.matrix.org/v1.19/client-server-
        api/#put_matrixclientv3useruseridroomsroomidaccount_datatype
        """
        _check_own(who, user_id)
        await self._account_data.set(user_id, room_id, type, body)
        return Empty()

    @endpoint("GET", _ROOM)
    async def get_account_data_per_room(
        self, who: Requester, user_id: UserID, room_id: RoomID, type: str
    ) -> RawJson:
        """A room's account data of one type.

        Spec: https://spec.matrix.org/v1.19/client-server-
        api/#get_matrixclientv3useruseridroomsroomidaccount_datatype
        """
        _check_own(who, user_id)
        return RawJson(await self._account_data.load(user_id, room_id, type))


def _check_own(who: Requester, user_id: UserID) -> None:
    if who.user_id != user_id:
        raise Forbidden("you only have account data of your own")
