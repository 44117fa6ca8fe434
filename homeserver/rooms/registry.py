"""The rooms that are live in this process: loaded on first use, leaving by a byte budget when nobody writes to them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred

from homeserver.errors import NotFound
from homeserver.events import state_tree
from homeserver.events.room_versions import RoomVersion
from homeserver.ids import RoomID, ServerName
from homeserver.rooms.live_room import Head, LiveRoom
from homeserver.rooms.loading import RuleSource, load_room
from homeserver.rooms.timeline import Timeline
from homeserver.rooms.unread import Unread
from storage.database import Database

WEIGH_EVERY = 64


class Rooms:
    """The registry of live rooms; whoever wants a room asks here every time, and never keeps one across a wait."""

    def __init__(
        self,
        db: Database,
        rules: RuleSource,
        *,
        server_name: ServerName,
        memory_bytes: int = 256 * 1024 * 1024,
    ) -> None:
        self._db = db
        self._rules = rules
        self._server_name = server_name
        self._memory_bytes = memory_bytes
        self._live: OrderedDict[RoomID, LiveRoom] = OrderedDict()
        self._loading: dict[RoomID, list[Deferred[LiveRoom]]] = {}
        self._uses = 0
        self.loads = 0

    def __len__(self) -> int:
        return len(self._live)

    def find(self, room_id: str) -> LiveRoom | None:
        """The room, if it is live already."""
        room = self._live.get(RoomID(room_id))
        if room is not None:
            self._live.move_to_end(room.room_id)
        return room

    async def load(self, room_id: RoomID) -> LiveRoom:
        """The room, from memory or from the database.

        Raises:
            NotFound: this server has never been in it.
        """
        room = self.find(room_id)
        if room is not None:
            return room
        waiting = self._loading.get(room_id)
        if waiting is not None:
            shared: Deferred[LiveRoom] = Deferred()
            waiting.append(shared)
            return await shared
        self._loading[room_id] = waiting = []
        try:
            room = await self._db.read(load_room, room_id, self._server_name, self._rules)
            if room is None:
                raise NotFound(f"this server does not know the room {room_id}")
        except BaseException as error:
            for each in self._loading.pop(room_id):
                each.errback(error)
            raise
        # Somebody may have made the room while it was looked for.
        room = self._live.setdefault(room_id, room)
        self.loads += 1
        self._make_space()
        for each in self._loading.pop(room_id):
            each.callback(room)
        return room

    async def find_or_load(self, room_id: RoomID) -> LiveRoom | None:
        """The room, or None if this server has never been in it."""
        try:
            return await self.load(room_id)
        except NotFound:
            return None

    def new(self, room_id: RoomID, version: RoomVersion) -> LiveRoom:
        """A room without events, about to get its first."""
        room = LiveRoom(
            room_id,
            version,
            server_name=self._server_name,
            head=Head(state_tree.EMPTY, {}),
            nodes={},
            state={},
            timeline=Timeline([], 0),
            unread=Unread([], 0),
        )
        self._live[room_id] = room
        return room

    def drop(self, room: LiveRoom) -> None:
        """Forget what memory says of the room: a write to it has failed, or it has been deleted."""
        room.stale = True
        if self._live.get(room.room_id) is room:
            del self._live[room.room_id]

    def each(self, visit: Callable[[LiveRoom], None]) -> None:
        for room in list(self._live.values()):
            visit(room)

    def _make_space(self) -> None:
        self._uses += 1
        if self._uses % WEIGH_EVERY:
            return
        weights = {room_id: room.approximate_bytes() for room_id, room in self._live.items()}
        total = sum(weights.values())
        for room_id in list(self._live):
            if total <= self._memory_bytes:
                break
            room = self._live[room_id]
            if room.writes_in_flight or room.sending or room.typing or room.held:
                continue
            room.stale = True
            del self._live[room_id]
            total -= weights[room_id]
