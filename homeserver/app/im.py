"""The IM API's foundation, built of its parts: accounts, friends, conversations, messages and what follows them."""

from __future__ import annotations

from config import Config
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.im.conversation_projection import ConversationProjection
from homeserver.im.follower import Follower
from homeserver.im.friend_projection import FriendProjection


class ImServices:
    """Friends and conversations; `handlers` are the endpoints under `/im/v1`."""

    def __init__(self, config: Config, surroundings: Surroundings, rooms: RoomServices) -> None:
        db, clock, notifier = surroundings.database, surroundings.clock, surroundings.notifier
        server_name = config.server.server_name
        self.follower = Follower(
            "im",
            [FriendProjection(server_name), ConversationProjection(server_name)],
            db,
            notifier,
            clock,
            surroundings.tasks,
        )
        self._handlers: list[object] = []

    def handlers(self) -> list[object]:
        return self._handlers

    async def start(self) -> None:
        await self.follower.start()
