"""Follows the log and notes which events use which media; what no event uses any more may be deleted.

Only events that mention media cost anything. What is in encrypted events cannot be seen: media that was only ever
used there is never taken for unused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from homeserver.events.event import Event
from homeserver.media.deletion import Deletion
from homeserver.media.mxc import Mxc, parse_mxc
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.tasks import Tasks
from storage import events, followers, log, media_references
from storage.database import Database
from storage.transaction import Transaction

FOLLOWER = "media"
MAX_USES = 100
"""Of one event: more than any client shows."""

_SAVE_EVERY = 1000
_PAGE = 500
_decode = msgspec.json.decode


class MediaReferences:
    """The follower."""

    def __init__(
        self, db: Database, notifier: Notifier, tasks: Tasks, deletion: Deletion, *, deletes: bool
    ) -> None:
        """`deletes` is whether what is not used any more is deleted at once."""
        self._db = db
        self._notifier = notifier
        self._tasks = tasks
        self._deletion = deletion
        self._deletes = deletes
        self._waiting: list[str] = []
        self._place = 0
        self._saved = 0
        self._is_running = False

    async def start(self) -> None:
        """Follow from where it stopped. Nobody writes yet, so that nothing happens before it listens."""
        self._saved = await self._db.read(followers.load_place, FOLLOWER)
        self._place = self._notifier.position
        self._notifier.subscribe(self._heard)
        if self._saved < self._place:
            self._is_running = True
            self._tasks.spawn("media references", self._catch_up(self._place))

    def _heard(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            if entry.kind is LogKind.EVENT and (entry.payload is None or _concerns(entry.payload.event)):
                self._waiting.append(entry.ref)
        self._place = entries[-1].position
        if self._waiting or self._place - self._saved > _SAVE_EVERY:
            self._wake()

    def _wake(self) -> None:
        if not self._is_running:
            self._is_running = True
            self._tasks.spawn("media references", self._run())

    async def _catch_up(self, last: int) -> None:
        """Deal with what was written while nobody listened, up to `last`; then with what has been heard since."""
        try:
            while self._saved < last:
                entries = await self._db.read(log.entries_after, self._saved, _PAGE)
                unheard = [entry for entry in entries if entry.position <= last]
                event_ids = [entry.ref for entry in unheard if entry.kind is LogKind.EVENT]
                await self._note(event_ids, unheard[-1].position if len(unheard) == _PAGE else last)
            await self._run()
        finally:
            self._is_running = False

    async def _run(self) -> None:
        try:
            while self._waiting or self._place - self._saved > _SAVE_EVERY:
                event_ids, self._waiting = self._waiting, []
                await self._note(event_ids, self._place)
            if self._deletes:
                await self._deletion.delete_orphans()
        finally:
            self._is_running = False

    async def _note(self, event_ids: list[str], place: int) -> None:
        await self._db.run(_note, event_ids, place)
        self._saved = place


def _concerns(event: Event) -> bool:
    return event.type == "m.room.redaction" or b"mxc://" in event.json


def _note(txn: Transaction, event_ids: list[str], place: int) -> None:
    """Note what these events use, and what those that they redact do not use any more."""
    for row in events.by_id(txn, event_ids).values():
        if b"mxc://" not in row.json and b"redact" not in row.json:
            continue
        pdu = _decode(row.json)
        uses = set(_uses(pdu.get("content"), limit=MAX_USES))
        if row.redacted_by is not None:
            # By a redaction that had come before it.
            media_references.forget_event(txn, row.event_id)
        elif uses:
            media_references.insert(txn, row.event_id, uses)
        if pdu.get("type") == "m.room.redaction":
            _forget_redacted(txn, pdu)
    followers.save_place(txn, FOLLOWER, place)


def _forget_redacted(txn: Transaction, pdu: dict[str, Any]) -> None:
    content = pdu.get("content")
    for named in (pdu.get("redacts"), content.get("redacts") if isinstance(content, dict) else None):
        target = events.find(txn, named) if isinstance(named, str) else None
        # A redaction that was not allowed has redacted nothing.
        if target is not None and target.redacted_by is not None:
            media_references.forget_event(txn, target.event_id)


def _uses(value: object, *, limit: int) -> Iterator[Mxc]:
    """The media that is named anywhere in a content."""
    waiting = [value]
    found = 0
    while waiting and found < limit:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif (mxc := parse_mxc(value)) is not None:
            found += 1
            yield mxc
