"""A process that writes until it is killed, and says what has been acknowledged (see test_crash)."""

from __future__ import annotations

import sys
from itertools import count

from twisted.internet.defer import Deferred

from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogKind, Notifier
from storage.database import Database
from storage.transaction import Slot, Transaction
from storage.worker import ThreadWorker
from tests.fixtures.databases import Engine, PostgresEngine, SqliteEngine
from tests.fixtures.reactor import real_reactor

_numbers = count(1)


def _write(txn: Transaction, number: int) -> Slot:
    return txn.log(LogKind.EVENT, room_id=f"!room{number % 7}:here", ref=str(number))


async def _keep_writing(db: Database) -> None:
    while True:
        number = next(_numbers)
        await db.run(_write, number)
        print(number, flush=True)


def main(kind: str, where: str) -> None:
    clock = Clock(real_reactor)
    engine: Engine = SqliteEngine(where) if kind == "sqlite" else PostgresEngine(where)
    worker = ThreadWorker(real_reactor.callFromThread)
    db = engine.open(clock, Notifier(), worker)
    for _ in range(8):
        Deferred.fromCoroutine(_keep_writing(db))
    real_reactor.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
