"""Background jobs go on where they were, however often the server restarts."""

from __future__ import annotations

import pytest

from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks
from storage import followers, jobs
from storage.database import Database
from storage.jobs import BackgroundJob, BackgroundJobs, Progress
from storage.transaction import Transaction
from tests.conftest import Logged
from tests.fixtures.reactor import VirtualReactor


def count_to_three(txn: Transaction, job: BackgroundJob) -> Progress | None:
    """Notes in the database how often it ran; three steps."""
    done = followers.load_place(txn, job.name) + 1
    followers.save_place(txn, job.name, done)
    return None if done == job.arguments["end"] else {"done": done}


async def _ended(db: Database, clock: Clock, name: str) -> BackgroundJob:
    while True:
        job = await db.read(jobs.find, name)
        if job is not None and job.state != jobs.SCHEDULED:
            return job
        await clock.sleep(1)


@pytest.fixture
def running(database: Database, clock: Clock, tasks: Tasks) -> BackgroundJobs:
    return BackgroundJobs(database, clock, tasks)


async def test_a_query_runs_until_it_is_done(
    database: Database, clock: Clock, running: BackgroundJobs
) -> None:
    running.register_query("count", count_to_three)
    running.start()
    assert await database.run(running.schedule, "one", "count", {"end": 3})
    assert not await database.run(running.schedule, "one", "count", {"end": 5})
    job = await _ended(database, clock, "one")
    assert (job.state, job.progress) == (jobs.DONE, {"done": 2})
    assert await database.read(followers.load_place, "one") == 3
    running.stop()


async def test_a_job_resumes_in_another_run_of_the_server(
    database: Database, clock: Clock, running: BackgroundJobs, tasks: Tasks
) -> None:
    seen: list[Progress] = []
    later = BackgroundJobs(database, clock, tasks)

    async def first_half(job: BackgroundJob) -> Progress | None:
        running.stop()
        return {"at": 1}

    async def second_half(job: BackgroundJob) -> Progress | None:
        seen.append(job.progress)
        return None

    running.register("walk", first_half)
    later.register("walk", second_half)
    await database.run(running.schedule, "one", "walk", {})
    running.start()
    await clock.sleep(10)
    later.start()
    await _ended(database, clock, "one")
    assert seen == [{"at": 1}]
    later.stop()


async def test_a_failing_job_tries_again_and_then_gives_up(
    database: Database, clock: Clock, running: BackgroundJobs, logged: Logged
) -> None:
    logged.expect_errors()
    attempts: list[int] = []

    async def fail(_job: BackgroundJob) -> Progress | None:
        attempts.append(clock.now_ms())
        raise ValueError("the dog ate it")

    running.register("fail", fail)
    running.start()
    await database.run(running.schedule, "one", "fail", {})
    job = await _ended(database, clock, "one")
    assert (job.state, job.failures, job.error) == (jobs.FAILED, 10, "ValueError('the dog ate it')")
    assert len(attempts) == 10
    assert attempts[2] - attempts[1] >= 2 * (attempts[1] - attempts[0]) - 1000
    running.stop()


async def test_a_cancelled_job_rests(
    database: Database, clock: Clock, running: BackgroundJobs, reactor: VirtualReactor
) -> None:
    running.register_query("count", count_to_three)
    await database.run(running.schedule, "one", "count", {"end": 3}, delay_ms=60_000)
    running.start()
    await clock.sleep(30)
    assert await database.run(jobs.cancel, "one")
    await clock.sleep(60)
    assert await database.read(followers.load_place, "one") == 0
    (job,) = await database.read(jobs.list_jobs, kind="count", state=jobs.CANCELLED)
    assert await database.run(jobs.forget_ended, job.updated_ms + 1) == 1
    running.stop()


async def test_jobs_of_unknown_kinds_wait_for_whoever_knows_them(
    database: Database, clock: Clock, running: BackgroundJobs
) -> None:
    running.register_query("count", count_to_three)
    running.start()
    await database.run(running.schedule, "other", "of another version", {})
    await database.run(running.schedule, "one", "count", {"end": 1})
    assert (await _ended(database, clock, "one")).state == jobs.DONE
    other = await database.read(jobs.find, "other")
    assert other is not None
    assert other.state == jobs.SCHEDULED
    running.stop()
