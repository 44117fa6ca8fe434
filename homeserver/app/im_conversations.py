"""Conversations and messages of the IM API, built of their parts."""

from __future__ import annotations

from config import Config
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.app.users import Users
from homeserver.im.conversations import ConversationParts, Conversations
from homeserver.im.deliveries import Deliveries
from homeserver.im.follower import Follower
from homeserver.im.message_reading import MessageReading
from homeserver.im.message_views import Ignoring, MessageViews
from homeserver.im.messages import Messages
from homeserver.im.muting import Muting
from homeserver.im.own_data import OwnData
from homeserver.im.own_view import OwnView
from homeserver.im.people import People
from homeserver.im.speaking import Speaking
from homeserver.im_api.conversations import ConversationEndpoints
from homeserver.im_api.messages import MessageEndpoints, MessageReadingEndpoints
from homeserver.rooms.search import Search
from storage.jobs import BackgroundJobs


class ConversationServices:
    """What users say to one another, and how they keep it."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        users: Users,
        rooms: RoomServices,
        follower: Follower,
        people: People,
        ignoring: Ignoring,
    ) -> None:
        db, clock = surroundings.database, surroundings.clock
        recall_window_ms = config.im.recall_window_ms
        self._background = BackgroundJobs(db, clock, surroundings.tasks)
        own = OwnData(db)
        self.muting = Muting(db, users.push_rules, own, self._background, clock)
        self.views = MessageViews(db, rooms.visibility, ignoring, recall_window_ms=recall_window_ms)
        parts = ConversationParts(rooms.rooms, rooms.history, self.views, people, self.muting)
        self.conversations = Conversations(db, follower, parts, own, users.tags, self.muting, clock)
        self.speaking = Speaking(rooms.access, self.conversations)
        self.messages = Messages(
            db,
            rooms.sending,
            rooms.access,
            self.speaking,
            clock,
            recall_window_ms=recall_window_ms,
        )
        self.own_view = OwnView(db, rooms.access, rooms.read_markers, own, clock)
        self.reading = MessageReading(db, rooms.access, rooms.history, self.views, follower)
        self.deliveries = Deliveries(
            db,
            rooms.rooms,
            surroundings.notifier,
            clock,
            surroundings.tasks,
            server_name=config.server.server_name,
            tells_others=config.im.delivered_receipts,
        )
        self._handlers: list[object] = [
            ConversationEndpoints(
                self.conversations, self.own_view, self.deliveries, rooms.typing, rooms.access
            ),
            MessageEndpoints(self.messages, self.own_view, self.conversations),
            MessageReadingEndpoints(
                self.reading, self.conversations, Search(db, rooms.rooms, rooms.visibility)
            ),
        ]

    def handlers(self) -> list[object]:
        return self._handlers

    def start(self) -> None:
        self._background.start()

    def stop(self) -> None:
        self._background.stop()
