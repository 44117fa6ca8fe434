"""What `Database.run` costs for a hot write: one row in each of four tables and one log row, announced.

    python -m tests.benchmark.hot_write sqlite|postgres [writers] [writes]

Prints CPU microseconds a write (and those of PostgreSQL's own processes), and how many writes shared a commit.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import psutil
from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogKind, Notifier
from storage.database import Database
from storage.opening import open_postgres, open_sqlite
from storage.transaction import Slot, Transaction
from storage.worker import ThreadWorker
from tests.fixtures.databases import PostgresServer, start_postgres
from tests.fixtures.reactor import real_reactor

SCHEMA = """
CREATE TABLE hot_events (
    number BIGINT PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, room BIGINT NOT NULL, position BIGINT, depth BIGINT,
    type BIGINT, sender BIGINT, ts BIGINT, flags SMALLINT, json BLOB NOT NULL
);
CREATE INDEX hot_events_room ON hot_events (room, position);
CREATE TABLE hot_heads (room BIGINT PRIMARY KEY, root BLOB, extremities TEXT, seq BIGINT);
CREATE TABLE hot_receipts (
    room BIGINT, user_name BIGINT, event TEXT, position BIGINT, PRIMARY KEY (room, user_name)
);
CREATE TABLE hot_transactions (device TEXT, txn_id TEXT, event BIGINT, PRIMARY KEY (device, txn_id));
"""
EVENT = ("number", "event_id", "room", "position", "depth", "type", "sender", "ts", "flags", "json")
HEAD = ("room", "root", "extremities", "seq")
RECEIPT = ("room", "user_name", "event", "position")
TRANSACTION = ("device", "txn_id", "event")
JSON = b'{"content":{"body":"' + b"x" * 600 + b'"}}'
ROOT = bytes(range(20))


def write(txn: Transaction, number: int, writer: int) -> Slot:
    room_id, user_id, event_id = f"!room{writer % 8}:here", f"@user{writer}:here", f"${number:043}"
    slot = txn.log(LogKind.EVENT, room_id=room_id, user_id=user_id, ref=event_id)
    room, user = txn.intern(room_id), txn.intern(user_id)
    kind = txn.intern("m.room.message")
    txn.insert(
        "hot_events", EVENT, (number, event_id, room, slot, number, kind, user, 1_700_000_000_000, 0, JSON)
    )
    txn.put("hot_heads", HEAD, (room, ROOT, event_id, number), ("room",))
    txn.put("hot_receipts", RECEIPT, (room, user, event_id, slot), ("room", "user_name"))
    txn.insert("hot_transactions", TRANSACTION, (user_id, f"m{number}", number))
    return slot


def _postgres_cpu_s() -> float:
    total = 0.0
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "postgres":
            times = process.cpu_times()
            total += times.user + times.system
    return total


class Run:
    """Some writers, each of which writes again as soon as its last write is on disk."""

    def __init__(self, db: Database, notifier: Notifier, writers: int) -> None:
        self._db = db
        self._writers = writers
        self._number = 0
        self.batches = 0
        notifier.subscribe(self._count)

    def _count(self, _entries: object) -> None:
        self.batches += 1

    async def _writer(self, writer: int, end: int) -> None:
        while self._number < end:
            self._number += 1
            await self._db.run(write, self._number, writer)

    async def write(self, count: int) -> None:
        end = self._number + count
        await gatherResults(
            [Deferred.fromCoroutine(self._writer(each, end)) for each in range(self._writers)]
        )


async def main(engine: str, writers: int, count: int, folder: str) -> None:
    clock, notifier = Clock(real_reactor), Notifier()
    worker = ThreadWorker(real_reactor.callFromThread)
    server: PostgresServer | None = None
    if engine == "sqlite":
        db = open_sqlite(str(Path(folder) / "bench.db"), clock, notifier, worker)
    else:
        server = PostgresServer(os.environ.get("HEARTH_TEST_POSTGRES") or start_postgres(durable=True))
        created = server.lend()
        db = open_postgres({"dsn": created.dsn}, clock, notifier, worker)
    await db.run(lambda _: db.writer.run_script(SCHEMA))
    run = Run(db, notifier, writers)
    await run.write(count // 5)
    run.batches = 0
    cpu, wall = time.process_time(), time.perf_counter()
    theirs = _postgres_cpu_s() if engine != "sqlite" else 0.0
    await run.write(count)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if engine != "sqlite":
        theirs = _postgres_cpu_s() - theirs
    print(
        f"{engine}: {cpu / count * 1e6:.0f} us CPU a write"
        + (f" + {theirs / count * 1e6:.0f} us in PostgreSQL" if theirs else "")
        + f", {count / run.batches:.1f} writes a commit, {wall / count * 1e6:.0f} us of wall time"
    )
    await db.close()
    if server is not None:
        server.close()


def _report(result: object) -> None:
    if isinstance(result, Failure):
        result.printTraceback()
    real_reactor.stop()


if __name__ == "__main__":
    kind = sys.argv[1] if len(sys.argv) > 1 else "sqlite"
    writers = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    writes = int(sys.argv[3]) if len(sys.argv) > 3 else 20_000
    with tempfile.TemporaryDirectory() as place:
        Deferred.fromCoroutine(main(kind, writers, writes, place)).addBoth(_report)
        real_reactor.run()
