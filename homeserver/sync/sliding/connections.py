"""Connections: what each has been sent, by the positions that its client may come back with.

A request with a position proves that its client has the answer which ended there, so what was kept for older ones goes.
The same position once more (a retry) is answered from the same place.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from homeserver.errors import UnknownPos
from homeserver.events.state_tree import NodeHash
from homeserver.ids import DeviceID, RoomID, UserID
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.sliding.request import RoomConfig, SlidingRequest

CONNECTIONS_KEPT = 20_000
ROOMS_KEPT = 2_000_000
"""Rooms in the positions of all connections together."""

PER_DEVICE = 16
LAZY_KEPT = 100
ConnectionKey = tuple[UserID, DeviceID | None, str]


@dataclass(slots=True, frozen=True)
class Sent:
    """A room as it was last sent: up to where, with which state, and asked for how. `members` are the lazy ones."""

    position: int
    root: NodeHash | None
    config: RoomConfig
    members: frozenset[str] = frozenset()
    membership: str = "join"
    is_dm: bool = False
    start: int = 0
    """Every event after this position has been sent: what came with the last gap begins here."""


@dataclass(slots=True, frozen=True)
class Marks:
    """Up to where each room has been told of one kind of thing: those in scope up to `at`, others as `left` says."""

    at: int = -1
    live: frozenset[RoomID] = frozenset()
    left: Mapping[RoomID, int] = field(default_factory=dict)

    def find(self, room_id: RoomID) -> int | None:
        """Up to where the room has been told; None if never."""
        return self.at if room_id in self.live else self.left.get(room_id)

    def moved(self, scope: Collection[RoomID], at: int) -> Marks:
        """The marks once the rooms in `scope` have been told up to `at`."""
        if self.live == (rooms := frozenset(scope)):
            return Marks(at, self.live, self.left)
        left = {**self.left, **dict.fromkeys(self.live - rooms, self.at)}
        return Marks(at, rooms, {room: place for room, place in left.items() if room not in rooms})


@dataclass(slots=True, frozen=True)
class Progress:
    """What a client at one position has been sent. A value: each answer makes the next one."""

    token: StreamToken | None = None
    rooms: Mapping[RoomID, Sent] = field(default_factory=dict)
    marks: dict[str, Marks] = field(default_factory=dict)
    extensions: dict[str, int] = field(default_factory=dict)


class Turn:
    """One request of a connection. Another one with the same position takes its place."""

    def __init__(self) -> None:
        self.is_over = False
        self._stop: Callable[[], None] | None = None

    def wait_with(self, stop: Callable[[], None]) -> None:
        """The request waits now; `stop` ends that."""
        self._stop = stop

    def end(self) -> None:
        self.is_over = True
        if self._stop is not None:
            self._stop()


class Connection:
    """The positions of one connection that are still good."""

    def __init__(self) -> None:
        self._count = 0
        self._progress: OrderedDict[str, Progress] = OrderedDict()
        self._turn = Turn()

    @property
    def weight(self) -> int:
        """How many rooms are remembered."""
        return 1 + sum(len(progress.rooms) for progress in self._progress.values())

    def take_turn(self) -> Turn:
        """Begin a request; one that is under way is answered with what there is."""
        before, self._turn = self._turn, Turn()
        before.end()
        return self._turn

    def at(self, pos: str) -> Progress:
        """What the client at `pos` has; whatever it has left behind is forgotten.

        Raises:
            UnknownPos: the position is none of this connection's.
        """
        progress = self._progress.get(pos)
        if progress is None:
            raise UnknownPos("the position is unknown or has expired: start again without it")
        while next(iter(self._progress)) != pos:
            self._progress.popitem(last=False)
        return progress

    def issue(self, progress: Progress) -> str:
        """The position of an answer that makes this progress."""
        self._count += 1
        pos = f"{self._count}/{progress.token}"
        self._progress[pos] = progress
        # Behind the acknowledged one there is what was answered last, and a retry of it.
        while len(self._progress) > 3:
            second = list(self._progress)[1]
            del self._progress[second]
        return pos

    def restart(self) -> None:
        self._progress.clear()


class Connections:
    """All connections, bounded for each device and in all; the one that was used longest ago goes first."""

    def __init__(self, *, rooms_kept: int = ROOMS_KEPT) -> None:
        self._rooms_kept = rooms_kept
        self._connections: OrderedDict[ConnectionKey, Connection] = OrderedDict()
        self._of_device: dict[tuple[UserID, DeviceID | None], OrderedDict[str, None]] = {}
        self._weights: dict[ConnectionKey, int] = {}
        self._weight = 0

    def open(self, request: SlidingRequest) -> tuple[Connection, Progress]:
        """The connection of a request, and what its client has.

        Raises:
            UnknownPos: the request has a position that is not known.
        """
        key = (request.user_id, request.device_id, request.conn_id)
        connection = self._connections.get(key)
        if request.pos is not None:
            if connection is None:
                raise UnknownPos("the connection is unknown or has expired: start again without a position")
            self._use(key)
            return connection, connection.at(request.pos)
        if connection is None:
            connection = self._add(key)
        else:
            self._use(key)
        connection.restart()
        return connection, Progress()

    def issue(self, request: SlidingRequest, connection: Connection, progress: Progress) -> str:
        """The position of an answer; connections that nobody uses make room for what it remembers."""
        pos = connection.issue(progress)
        key = (request.user_id, request.device_id, request.conn_id)
        if self._connections.get(key) is connection:
            weight = connection.weight
            self._weight += weight - self._weights.get(key, 0)
            self._weights[key] = weight
            while self._weight > self._rooms_kept and len(self._connections) > 1:
                self._drop(next(iter(self._connections)))
        return pos

    def forget(self, user_id: UserID, device_id: DeviceID | None) -> None:
        """The device's session has ended; without a device, those of all the user's devices have."""
        devices = [device for device in self._of_device if device[0] == user_id]
        for device in devices:
            if device_id is None or device[1] == device_id:
                for name in list(self._of_device[device]):
                    self._drop((*device, name))

    def _use(self, key: ConnectionKey) -> None:
        self._connections.move_to_end(key)
        self._of_device[key[:2]].move_to_end(key[2])

    def _add(self, key: ConnectionKey) -> Connection:
        connection = self._connections[key] = Connection()
        names = self._of_device.setdefault(key[:2], OrderedDict())
        names[key[2]] = None
        if len(names) > PER_DEVICE:
            self._drop((*key[:2], next(iter(names))))
        while len(self._connections) > CONNECTIONS_KEPT:
            self._drop(next(iter(self._connections)))
        return connection

    def _drop(self, key: ConnectionKey) -> None:
        self._connections.pop(key, None)
        self._weight -= self._weights.pop(key, 0)
        names = self._of_device.get(key[:2])
        if names is not None:
            names.pop(key[2], None)
            if not names:
                del self._of_device[key[:2]]
