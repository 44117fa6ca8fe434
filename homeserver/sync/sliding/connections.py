"""Connections: what each has been sent, by the positions that its client may come back with.

A request with a position proves that its client has the answer which ended there, so what was kept for older ones goes.
The same position once more (a retry) is answered from the same place.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from homeserver.errors import UnknownPos
from homeserver.events.state_tree import NodeHash
from homeserver.ids import DeviceID, RoomID, UserID
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.sliding.request import RoomConfig, SlidingRequest

CONNECTIONS_KEPT = 20_000
PER_DEVICE = 16
LAZY_KEPT = 100
ConnectionKey = tuple[UserID, DeviceID | None, str]


@dataclass(slots=True, frozen=True)
class Sent:
    """A room as it was last sent: up to where, with which state, how much of it, and which lazy members."""

    position: int
    root: NodeHash | None
    config: RoomConfig
    members: frozenset[str] = frozenset()
    membership: str = "join"
    is_dm: bool = False


@dataclass(slots=True, frozen=True)
class Progress:
    """What a client at one position has been sent. A value: each answer makes the next one."""

    token: StreamToken | None = None
    rooms: dict[RoomID, Sent] = field(default_factory=dict)
    receipts: dict[RoomID, int] = field(default_factory=dict)
    account_data: dict[RoomID, int] = field(default_factory=dict)
    extensions: dict[str, int] = field(default_factory=dict)


class Connection:
    """The positions of one connection that are still good."""

    def __init__(self) -> None:
        self._count = 0
        self._progress: OrderedDict[str, Progress] = OrderedDict()

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
    """All connections, bounded for each device and in all."""

    def __init__(self) -> None:
        self._connections: OrderedDict[ConnectionKey, Connection] = OrderedDict()
        self._of_device: dict[tuple[UserID, DeviceID | None], OrderedDict[str, None]] = {}

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
            self._connections.move_to_end(key)
            return connection, connection.at(request.pos)
        if connection is None:
            connection = self._add(key)
        connection.restart()
        return connection, Progress()

    def _add(self, key: ConnectionKey) -> Connection:
        connection = self._connections[key] = Connection()
        device = key[:2]
        names = self._of_device.setdefault(device, OrderedDict())
        names[key[2]] = None
        if len(names) > PER_DEVICE:
            oldest, _ = names.popitem(last=False)
            self._connections.pop((*device, oldest), None)
        while len(self._connections) > CONNECTIONS_KEPT:
            (user_id, device_id, name), _ = self._connections.popitem(last=False)
            known = self._of_device.get((user_id, device_id))
            if known is not None:
                known.pop(name, None)
                if not known:
                    del self._of_device[user_id, device_id]
        return connection
