"""Nothing runs unattended."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from homeserver.runtime.clock import Clock
from homeserver.runtime.context import request_id, within_request
from homeserver.runtime.tasks import Tasks
from tests.conftest import Logged


async def _sleep_and_say(clock: Clock, seconds: float, said: list[str]) -> str:
    await clock.sleep(seconds)
    said.append(request_id())
    return "done"


async def _fail() -> None:
    raise ValueError("no")


async def test_a_task_outlives_its_caller(clock: Clock, tasks: Tasks) -> None:
    said: list[str] = []
    with within_request("GET-1"):
        task = tasks.spawn("say", _sleep_and_say(clock, 5, said))
    assert tasks.running == ["say"]
    assert await task == "done"
    # It carries on for the request that started it.
    assert said == ["GET-1"]
    assert tasks.running == []


async def test_a_failure_is_logged_with_its_name(tasks: Tasks, logged: Logged) -> None:
    logged.expect_errors()
    await tasks.spawn("fail on purpose", _fail())
    (failure,) = tasks.failures
    assert failure.name == "fail on purpose"
    assert failure.failure.check(ValueError)
    (entry,) = logged.errors
    assert entry["task"] == "fail on purpose"
    assert "ValueError: no" in entry["exception"]


async def test_shutdown_waits_for_tasks(clock: Clock, tasks: Tasks) -> None:
    said: list[str] = []
    tasks.spawn("short", _sleep_and_say(clock, 1, said))
    tasks.spawn("shorter", _sleep_and_say(clock, 0.5, said))
    await tasks.drain(10)
    assert said == ["-", "-"]
    assert clock.seconds() == 1


async def test_shutdown_does_not_wait_for_ever(clock: Clock, tasks: Tasks) -> None:
    said: list[str] = []
    tasks.spawn("long", _sleep_and_say(clock, 1_000_000, said))

    async def stubborn() -> None:
        never: Deferred[None] = Deferred(lambda _: None)
        try:
            await never
        finally:
            await clock.sleep(1_000)

    tasks.spawn("stubborn", stubborn())
    await tasks.drain(10)
    assert said == []
    assert clock.seconds() == 10
    assert tasks.failures == []
    await clock.sleep(2_000)
