"""What was acknowledged is there after `kill -9`, on both databases."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import Notifier
from storage import log
from storage.worker import InlineWorker
from tests.fixtures.databases import Engine, PostgresEngine, SqliteEngine

ROOT = Path(__file__).parents[3]
ACKNOWLEDGED = 300


def _start_writer(engine: Engine) -> subprocess.Popen[str]:
    where = engine.path if isinstance(engine, SqliteEngine) else None
    where = engine.dsn if isinstance(engine, PostgresEngine) else where
    assert where is not None
    return subprocess.Popen(
        [sys.executable, "-m", "tests.unit.storage.writing_process", engine.name, where],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_acknowledged_writes_survive(engine: Engine, clock: Clock, notifier: Notifier) -> None:
    writer = _start_writer(engine)
    assert writer.stdout is not None
    acknowledged = {int(writer.stdout.readline()) for _ in range(ACKNOWLEDGED)}
    os.kill(writer.pid, signal.SIGKILL)
    # A line may have been cut by the kill.
    acknowledged |= {int(line) for line in writer.stdout.read().split("\n")[:-1]}
    writer.stdout.close()
    assert writer.wait() == -signal.SIGKILL

    db = engine.open(clock, notifier, InlineWorker(clock))
    entries = await db.read(log.entries_after, 0, 1_000_000)
    assert acknowledged <= {int(entry.ref) for entry in entries}
    assert [entry.position for entry in entries] == list(range(1, len(entries) + 1))
    assert notifier.position == len(entries)
    # And it goes on after them.
    slot = await db.run(lambda txn: txn.log(entries[0].kind, ref="next"))
    assert slot.position == len(entries) + 1
    await db.close()
