"""Projections: tables made of the log and nothing else, kept up by a follower, and made anew by one call.

A projection's rows are a function of what is committed, room by room, so following entry by entry and rebuilding give
the same, and a rebuild takes some rooms at a time: nobody finds the tables empty meanwhile, and no write waits long.
Nobody reads one without `settled`, which waits until the follower has passed everything that was announced before:
whoever has written sees what they wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from homeserver.runtime.clock import Clock, Timer
from homeserver.runtime.notifier import LogEntry, Notifier
from homeserver.runtime.tasks import Tasks
from storage import followers, log
from storage.database import Database
from storage.transaction import Transaction

GATHER_S = 0.1
"""How long entries gather before they are dealt with, if nobody waits for them: a busy room costs few writes."""
BATCH = 500
SAVE_PLACE_EVERY = 1000
ROOMS_AT_ONCE = 100
"""How many rooms a rebuild reads in one transaction."""


class Projection(Protocol):
    """One set of tables."""

    def wants(self, entry: LogEntry) -> bool:
        """Whether the entry may change the tables; cheap, and right for entries without a payload too."""
        ...

    def apply(self, txn: Transaction, entries: Sequence[LogEntry]) -> None:
        """Bring the tables up to date with entries that are wanted."""
        ...

    def rooms(self, txn: Transaction) -> Sequence[int]:
        """Every room that has rows in the tables, or should have."""
        ...

    def read_again(self, txn: Transaction, rooms: Sequence[int]) -> None:
        """Make the rows of these rooms anew from what is committed."""
        ...


class Follower:
    """Keeps some projections up, under one name and one stored place."""

    def __init__(
        self,
        name: str,
        projections: Sequence[Projection],
        db: Database,
        notifier: Notifier,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._name = name
        self._projections = tuple(projections)
        self._db = db
        self._notifier = notifier
        self._clock = clock
        self._tasks = tasks
        self._place = 0
        self._saved = 0
        self._heard: list[LogEntry] = []
        self._in_hand: list[LogEntry] = []
        # Up to where entries have come here. Whoever was told before us may ask for what we have not heard yet.
        self._heard_until = 0
        self._timer: Timer | None = None
        self._is_running = False
        self._is_ready = False
        self._is_started = False
        self._waiting: list[tuple[int, Deferred[None]]] = []
        notifier.subscribe(self._on_entries)

    @property
    def place(self) -> int:
        """The position up to which everything is in the tables."""
        return self._place

    @property
    def projections(self) -> Sequence[Projection]:
        return self._projections

    async def start(self) -> None:
        """Deal with what was committed since the last run."""
        self._place = self._saved = await self._db.read(followers.load_place, self._name)
        while True:
            entries = await self._db.read(log.entries_after, self._place, BATCH)
            if not entries:
                break
            await self._take(entries, save=True)
        self._is_ready = self._is_started = True
        self._place = max(self._place, self._saved)
        self._heard_until = max(self._heard_until, self._notifier.position)
        if self._heard:
            self._run_soon(0)

    def stop(self) -> None:
        """Take nothing more; what was not dealt with is read again at the next start."""
        self._is_started = False
        self._heard = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()

    async def settled(self, of: type[Projection] | None = None) -> None:
        """Wait until everything that has been announced is in the tables, or all that one projection wants of it.

        Most entries are messages: whoever reads friendships need not wait until conversations know of them.
        """
        goal = self._notifier.position
        if self._place >= goal or not self._is_started:
            return
        if of is not None and self._heard_until >= goal and not self._awaits(of):
            return
        waiting: Deferred[None] = Deferred()
        self._waiting.append((goal, waiting))
        self._run_soon(0)
        await waiting

    def _awaits(self, kind: type[Projection]) -> bool:
        """Whether something is still to come into the tables of a projection."""
        projections = [each for each in self._projections if isinstance(each, kind)]
        return any(each.wants(entry) for entry in (*self._in_hand, *self._heard) for each in projections)

    async def rebuild(self) -> int:
        """Make the tables anew from what is committed; how many rooms were read."""
        count = 0
        for projection in self._projections:
            rooms = await self._db.read(projection.rooms)
            for first in range(0, len(rooms), ROOMS_AT_ONCE):
                await self._db.run(projection.read_again, rooms[first : first + ROOMS_AT_ONCE])
            count = max(count, len(rooms))
        return count

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        self._heard_until = entries[-1].position
        if self._is_started or not self._is_ready:
            self._heard.extend(entries)
        if self._is_started:
            self._run_soon(0 if self._waiting else GATHER_S)

    def _run_soon(self, delay_s: float) -> None:
        if self._is_running or not self._is_started:
            return
        if self._timer is not None:
            if delay_s > 0:
                return
            self._timer.cancel()
        if delay_s > 0:
            self._timer = self._clock.call_later(delay_s, self._run)
        else:
            self._timer = None
            self._run()

    def _run(self) -> None:
        self._timer = None
        self._is_running = True
        self._tasks.spawn(f"projections {self._name}", self._follow())

    async def _follow(self) -> None:
        try:
            while self._heard:
                heard, self._heard = self._heard[:BATCH], self._heard[BATCH:]
                self._in_hand = heard
                try:
                    await self._take([entry for entry in heard if entry.position > self._place], save=False)
                except BaseException:
                    self._heard = [*heard, *self._heard]
                    raise
                finally:
                    self._in_hand = []
                self._wake()
        finally:
            self._is_running = False
            self._wake()

    async def _take(self, entries: Sequence[LogEntry], *, save: bool) -> None:
        if not entries:
            return
        wanted = [
            (projection, found)
            for projection in self._projections
            if (found := [entry for entry in entries if projection.wants(entry)])
        ]
        place = entries[-1].position
        if wanted or save or place - self._saved >= SAVE_PLACE_EVERY:
            await self._db.run(self._apply, wanted, place)
            self._saved = place
        self._place = place

    def _apply(
        self, txn: Transaction, wanted: Sequence[tuple[Projection, Sequence[LogEntry]]], place: int
    ) -> None:
        for projection, entries in wanted:
            projection.apply(txn, entries)
        followers.save_place(txn, self._name, place)

    def _wake(self) -> None:
        reached = self._place
        if not self._is_started:
            reached = max(reached, self._notifier.position)
        elif not self._heard:
            reached = max(reached, self._heard_until)
        ready = [waiting for goal, waiting in self._waiting if goal <= reached]
        self._waiting = [pair for pair in self._waiting if pair[0] > reached]
        for waiting in ready:
            waiting.callback(None)
