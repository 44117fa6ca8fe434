"""Room upgrades. Spec: https://spec.matrix.org/v1.19/client-server-api/#room-upgrades"""

from __future__ import annotations

import msgspec

from homeserver.http.endpoint import endpoint
from homeserver.http.requester import Requester
from homeserver.ids import RoomID, UserID
from homeserver.rooms.upgrade import RoomUpgrades


class UpgradeBody(msgspec.Struct):
    new_version: str
    additional_creators: list[UserID] = []


class UpgradedRoom(msgspec.Struct):
    replacement_room: RoomID


class UpgradeEndpoints:
    """Serves upgrades."""

    def __init__(self, upgrades: RoomUpgrades) -> None:
        self._upgrades = upgrades

    @endpoint("POST", "/_matrix/client/v3/rooms/{room_id}/upgrade", suspended=False)
    async def upgrade_room(self, who: Requester, room_id: RoomID, body: UpgradeBody) -> UpgradedRoom:
        """Replace the room by one of another version.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidupgrade
        """
        replacement = await self._upgrades.upgrade(
            room_id, who.user_id, body.new_version, additional_creators=body.additional_creators
        )
        return UpgradedRoom(replacement)
