"""Searching messages, names and topics of the rooms that a user is in, through the gate.

Results come newest first, or the closest first among the newest; of encrypted rooms nothing is found.
Spec: https://spec.matrix.org/v1.19/client-server-api/#server-side-search
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from homeserver.errors import InvalidParam
from homeserver.events.filters import RoomEventFilter
from homeserver.ids import RoomID, UserID
from homeserver.rooms.loading import timeline_events
from homeserver.rooms.registry import Rooms
from homeserver.rooms.timeline import TimelineEvent
from homeserver.rooms.visibility import Visibility
from homeserver.rooms.words import query_of, rank_of, words_of
from storage import events as event_rows
from storage import search as rows
from storage.database import Database
from storage.search import Match, Wanted

KEYS = {"content.body": 1, "content.name": 2, "content.topic": 3}
MAX_RESULTS = 100
MAX_WORDS = 50
"""Each word is one more look into the index; those beyond do not count."""
RANKED = 1000
"""Matches that are ranked: the newest ones."""
READ_AT_ONCE = 100
ROUNDS = 10
_TOKEN = re.compile(r"(n|r)([0-9]{1,18})(?:\|(room_id|sender)\|(.+))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What somebody searches. `rooms` are the only ones that are searched, if they are named."""

    user_id: UserID
    term: str
    keys: Sequence[str]
    filter: RoomEventFilter
    rooms: Sequence[str] | None
    limit: int
    by_rank: bool
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """An event that was found, and how close it is."""

    room_id: RoomID
    entry: TimelineEvent
    rank: float


@dataclass(slots=True)
class Found:
    """A page of results, how many there are, what was searched for, and where to go on."""

    words: list[str]
    results: list[Result] = field(default_factory=list)
    count: int = 0
    next_batch: str | None = None


class Search:
    """Searches."""

    def __init__(self, db: Database, rooms: Rooms, visibility: Visibility) -> None:
        self._db = db
        self._rooms = rooms
        self._visibility = visibility

    async def search(self, request: SearchRequest) -> Found:
        """A page of what matches and the user may see.

        Raises:
            InvalidParam: the keys or the token are none.
        """
        if not set(request.keys) <= KEYS.keys():
            raise InvalidParam(f"keys: known are {', '.join(KEYS)}")
        words = list(dict.fromkeys(words_of(request.term)))[:MAX_WORDS]
        found = Found(words)
        if not words:
            return found
        keys = [KEYS[key] for key in request.keys or KEYS]
        wanted = Wanted(request.user_id, query_of(words), keys, request.rooms)
        start, wanted, suffix = _continue(request, wanted)
        if request.by_rank:
            await self._by_rank(request, wanted, found, start)
        else:
            await self._newest(request, replace(wanted, before=start or wanted.before), found)
        if found.next_batch is not None:
            found.next_batch += suffix
        return found

    async def _by_rank(self, request: SearchRequest, wanted: Wanted, found: Found, first: int) -> None:
        matches = await self._db.read(rows.newest, wanted, RANKED)
        found.count = len(matches)
        ranked = sorted(matches, key=lambda match: (-rank_of(match.words, found.words), -match.position))
        for start in range(first, len(ranked), READ_AT_ONCE):
            for offset, result in await self._seen(
                request, ranked[start : start + READ_AT_ONCE], found.words
            ):
                if len(found.results) == request.limit:
                    found.next_batch = f"r{start + offset}"
                    return
                found.results.append(result)

    async def _newest(self, request: SearchRequest, wanted: Wanted, found: Found) -> None:
        for _ in range(ROUNDS):
            matches = await self._db.read(rows.newest, wanted, READ_AT_ONCE)
            found.count += len(matches)
            for offset, result in await self._seen(request, matches, found.words):
                if len(found.results) == request.limit:
                    found.next_batch = f"n{matches[offset].position + 1}"
                    return
                found.results.append(result)
            if len(matches) < READ_AT_ONCE:
                return
            wanted = replace(wanted, before=matches[-1].position)
        found.next_batch = f"n{wanted.before}"

    async def _seen(
        self, request: SearchRequest, matches: Sequence[Match], words: list[str]
    ) -> list[tuple[int, Result]]:
        """Those of the matches that the user may see and wants, each with its place among them."""
        by_room: dict[RoomID, list[Match]] = {}
        for match in matches:
            by_room.setdefault(match.room_id, []).append(match)
        entries: dict[int, TimelineEvent] = {}
        for room_id, some in by_room.items():
            room = await self._rooms.find_or_load(room_id)
            if room is None:
                continue
            numbers = [match.number for match in some]
            stored = await self._db.read(event_rows.by_number, numbers)
            events = await self._db.read(timeline_events, list(stored.values()), room.version)
            events = [
                event
                for event in events
                if event.redacted_because is None and request.filter.matches_timeline(event)
            ]
            for event in await self._visibility.visible(room, request.user_id, events):
                entries[event.number] = event
        return [
            (offset, Result(match.room_id, entries[match.number], rank_of(match.words, words)))
            for offset, match in enumerate(matches)
            if match.number in entries
        ]


def _continue(request: SearchRequest, wanted: Wanted) -> tuple[int, Wanted, str]:
    """Where a token goes on, within which group, and what the next token ends in.

    Raises:
        InvalidParam: the token is none of such a search.
    """
    if request.token is None:
        return 0, wanted, ""
    parsed = _TOKEN.fullmatch(request.token)
    if parsed is None or (parsed[1] == "r") != request.by_rank:
        raise InvalidParam("next_batch: this is not a token of this search")
    kind, value = parsed[3], parsed[4]
    if kind == "room_id":
        if wanted.rooms is not None and value not in wanted.rooms:
            raise InvalidParam("next_batch: this is not a token of this search")
        return int(parsed[2]), replace(wanted, rooms=[value]), f"|{kind}|{value}"
    if kind == "sender":
        return int(parsed[2]), replace(wanted, sender=value), f"|{kind}|{value}"
    return int(parsed[2]), wanted, ""


def groups_of(found: Found, keys: Sequence[str]) -> dict[str, Any]:
    """The results by room or sender, each group with the token that goes on within it."""
    groups: dict[str, Any] = {}
    for key in keys:
        members: dict[str, dict[str, Any]] = {}
        for result in found.results:
            value = result.room_id if key == "room_id" else result.entry.event.sender
            group = members.setdefault(value, {"order": len(members) + 1, "results": []})
            group["results"].append(result.entry.event.event_id)
            if found.next_batch is not None and found.next_batch.startswith("n"):
                group["next_batch"] = f"n{result.entry.position}|{key}|{value}"
        groups[key] = members
    return groups


def state_rooms(found: Found) -> Mapping[RoomID, None]:
    """The rooms of the results, in order."""
    return dict.fromkeys(result.room_id for result in found.results)
