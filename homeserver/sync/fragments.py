"""Sections of `/sync` that many members of a room need, built once and shared (DESIGN idea 5).

A fragment is the part of a joined room's section that is the same for all who look at the same room from the same place
to the same place with the same filter: timeline, state and summary, as ready JSON. It holds no outer braces,
so that what is the reader's own can be put behind it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from homeserver.ids import RoomID, UserID

OVERHEAD_BYTES = 600
"""What a fragment costs beside its bytes: its key, the set of its authors, its place among the others."""


class FragmentKey(NamedTuple):
    """What a fragment depends on. `since` is -1 for a first look; `filter` names what the filter does."""

    room_id: RoomID
    since: int
    until: int
    filter: str
    state_key: str
    full_state: bool


class Fragment(NamedTuple):
    """The bytes, and whose own sends are in them: their devices are told more than is shared."""

    json: bytes
    authors: frozenset[UserID]


class Fragments:
    """A byte-budgeted LRU of fragments."""

    def __init__(self, memory_bytes: int = 64 * 1024 * 1024) -> None:
        self._memory_bytes = memory_bytes
        self._bytes = 0
        self._fragments: OrderedDict[FragmentKey, Fragment] = OrderedDict()

    def find(self, key: FragmentKey) -> Fragment | None:
        fragment = self._fragments.get(key)
        if fragment is not None:
            self._fragments.move_to_end(key)
        return fragment

    def keep(self, key: FragmentKey, fragment: Fragment) -> None:
        old = self._fragments.pop(key, None)
        if old is not None:
            self._bytes -= len(old.json) + OVERHEAD_BYTES
        self._fragments[key] = fragment
        self._bytes += len(fragment.json) + OVERHEAD_BYTES
        while self._bytes > self._memory_bytes:
            _, old = self._fragments.popitem(last=False)
            self._bytes -= len(old.json) + OVERHEAD_BYTES
