"""What was read from the database and is kept until the log says that it changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

from storage.database import Database
from storage.transaction import Transaction

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Read = Callable[[Transaction, Sequence[K]], dict[K, V]]


def _one(_value: object) -> int:
    return 1


class Remembered(Generic[K, V]):
    """A cache with room for so much, of which the longest unused goes first.

    A value that is forgotten while it is being read is not kept: whoever asked gets it, and the next one reads again.
    """

    def __init__(
        self, db: Database, read: Read[K, V], *, room: int, weigh: Callable[[V], int] = _one
    ) -> None:
        self._db = db
        self._read = read
        self._room = room
        self._weigh = weigh
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._weight = 0
        self._reading: dict[K, int] = {}
        self._forgotten: set[K] = set()

    def find(self, key: K) -> V | None:
        """The value, if it is in memory."""
        value = self._kept.get(key)
        if value is not None:
            self._kept.move_to_end(key)
        return value

    async def load(self, keys: Iterable[K]) -> dict[K, V]:
        """The values, read together as far as they are not in memory."""
        found: dict[K, V] = {}
        missing: list[K] = []
        for key in keys:
            value = self.find(key)
            if value is None:
                missing.append(key)
            else:
                found[key] = value
        if missing:
            found.update(await self._load(missing))
        return found

    async def load_one(self, key: K) -> V:
        return (await self.load((key,)))[key]

    def put(self, key: K, value: V) -> None:
        """Keep a value that is known without reading."""
        self._drop(key)
        self._kept[key] = value
        self._weight += self._weigh(value)
        while self._weight > self._room and len(self._kept) > 1:
            self._weight -= self._weigh(self._kept.popitem(last=False)[1])

    def forget(self, key: K) -> None:
        """The value has changed."""
        self._drop(key)
        if key in self._reading:
            self._forgotten.add(key)

    def forget_if(self, is_stale: Callable[[K], bool]) -> None:
        """Some values may have changed."""
        for key in [key for key in (*self._kept, *self._reading) if is_stale(key)]:
            self.forget(key)

    def _drop(self, key: K) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            self._weight -= self._weigh(old)

    async def _load(self, missing: list[K]) -> dict[K, V]:
        for key in missing:
            self._reading[key] = self._reading.get(key, 0) + 1
        try:
            found = await self._db.read(self._read, missing)
            for key, value in found.items():
                if key not in self._forgotten:
                    self.put(key, value)
        finally:
            for key in missing:
                self._reading[key] -= 1
                if not self._reading[key]:
                    del self._reading[key]
                    self._forgotten.discard(key)
        return found
