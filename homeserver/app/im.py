"""The IM API's foundation, built of its parts: accounts, friends, conversations, messages and what follows them."""

from __future__ import annotations

from config import Config
from homeserver.app.im_conversations import ConversationServices
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.app.users import Users
from homeserver.im.contacts import Contacts
from homeserver.im.conversation_projection import ConversationProjection
from homeserver.im.follower import Follower
from homeserver.im.friend_crossing import CrossedRequests
from homeserver.im.friend_gate import FriendGate
from homeserver.im.friend_projection import FriendProjection
from homeserver.im.friend_requests import FriendRequests, RequestWriting, RoomShape
from homeserver.im.friend_upkeep import RequestExpiry
from homeserver.im.friends import Blocks, Friends
from homeserver.im.message_views import Ignoring
from homeserver.im.moment_projection import MomentProjection
from homeserver.im.own_data import OwnData
from homeserver.im.people import People
from homeserver.im_api.friends import FriendEndpoints, FriendRequestEndpoints
from homeserver.im_api.projections import ProjectionEndpoints
from homeserver.presence.presence import Presence


class ImServices:
    """Friends and conversations; `handlers` are the endpoints under `/im/v1`."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        users: Users,
        rooms: RoomServices,
        presence: Presence,
        ignoring: Ignoring,
    ) -> None:
        db, clock, notifier = surroundings.database, surroundings.clock, surroundings.notifier
        tasks, randomness = surroundings.tasks, surroundings.randomness
        server_name, im = config.server.server_name, config.im
        self.follower = Follower(
            "im",
            [
                FriendProjection(server_name),
                ConversationProjection(server_name),
                MomentProjection(rooms.rooms.find),
            ],
            db,
            notifier,
            clock,
            tasks,
        )
        self.own = OwnData(db)
        self.people = People(db, presence, clock, server_name=server_name, scope=im.presence_scope)
        contacts = Contacts(db, self.own, clock, randomness)
        shape = RoomShape(im.room_version, im.encrypted, im.request_lifetime_ms)
        writing = RequestWriting(rooms.creation, rooms.memberships, rooms.sending, clock, randomness, shape)
        requests = FriendRequests(db, self.follower, writing, contacts, rooms.rooms)
        self.friends = Friends(db, self.follower, self.people, contacts, rooms.rooms, writing)
        self.blocks = Blocks(db, self.own, requests)
        self._expiry = RequestExpiry(db, self.follower, writing, clock, tasks, server_name=server_name)
        self._crossed = CrossedRequests(
            db, self.follower, writing, contacts, notifier, tasks, server_name=server_name
        )
        gate = FriendGate(db, self.follower, clock)
        rooms.memberships.check_invites_with(gate.check_invitation)
        rooms.memberships.check_knocks_with(gate.check_knock)
        self.talk = ConversationServices(
            config, surroundings, users, rooms, self.follower, self.people, ignoring
        )
        self._handlers: list[object] = [
            FriendRequestEndpoints(requests, self.people),
            FriendEndpoints(self.friends, self.blocks, contacts, self.people),
            *self.talk.handlers(),
            ProjectionEndpoints(self.follower),
        ]

    def handlers(self) -> list[object]:
        return self._handlers

    async def start(self) -> None:
        await self.follower.start()
        await self._expiry.start()
        await self._crossed.start()
        self.talk.start()

    def begin_stopping(self) -> None:
        self._expiry.stop()
        self.talk.stop()
        self.follower.stop()
