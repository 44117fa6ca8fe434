"""How tests run: coroutines over the virtual reactor, and no failure goes unseen.

An `async def test_` is driven by the fixture `reactor` until it ends. A test fails if anything is logged as
an error, be it a task that failed, a Deferred whose failure nobody looked at or a listener that raised; one
that means to see errors takes the fixture `logged` and calls `logged.expect_errors()`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, MutableMapping
from typing import Any, cast

import pytest
import structlog
from hypothesis import HealthCheck, settings
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher

from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness, SeededRandomness
from homeserver.runtime.tasks import Tasks
from tests.fixtures.databases import clock, database, empty_engine, engine, notifier, postgres_server, reactor
from tests.fixtures.reactor import VirtualReactor

# The suite plays the same examples every time, so that what fails has been broken by what changed. With
# HEARTH_EXPLORE=1 it looks for others. How long an example takes says something of the machine's load only.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("explore" if os.environ.get("HEARTH_EXPLORE") else "suite")

__all__ = ["clock", "database", "empty_engine", "engine", "notifier", "postgres_server", "reactor"]


class Logged:
    """What was logged during the test."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._are_errors_expected = False

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [entry for entry in self.entries if entry["level"] in ("error", "critical")]

    def expect_errors(self) -> None:
        """Errors are what this test is about."""
        self._are_errors_expected = True

    def check(self) -> None:
        if self.errors and not self._are_errors_expected:
            shown = "\n".join(_shown(entry) for entry in self.errors)
            pytest.fail(f"errors were logged:\n{shown}", pytrace=False)

    def from_structlog(self, _logger: object, level: str, event: MutableMapping[str, Any]) -> Any:
        self.entries.append({"level": "error" if level == "exception" else level, **event})
        raise structlog.DropEvent

    def from_twisted(self, event: LogEvent) -> None:
        level = event.get("log_level")
        if level in (LogLevel.error, LogLevel.critical):
            failure = event.get("log_failure")
            text = formatEvent(event)
            if failure is not None:
                text += "\n" + failure.getTraceback()
            self.entries.append({"level": "error", "event": text})


def _shown(entry: dict[str, Any]) -> str:
    facts = {key: value for key, value in entry.items() if key not in ("event", "exception", "level")}
    return f"{entry['event']}: {facts}\n{entry.get('exception', '')}"


@pytest.fixture(autouse=True)
def logged() -> Iterator[Logged]:
    seen = Logged()
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, seen.from_structlog],
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=False,
    )
    observer = cast(ILogObserver, seen.from_twisted)
    globalLogPublisher.addObserver(observer)
    yield seen
    globalLogPublisher.removeObserver(observer)
    structlog.configure(**before)
    seen.check()


@pytest.fixture
def tasks(clock: Clock, reactor: VirtualReactor) -> Iterator[Tasks]:
    """Tasks, which must have ended (or be cancelled) by the end of the test."""
    running = Tasks(clock)
    yield running
    reactor.drive(running.drain(1.0))


@pytest.fixture
def randomness() -> Randomness:
    return SeededRandomness("tests")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not isinstance(item, pytest.Function) or not inspect.iscoroutinefunction(item.obj):
            continue
        if "reactor" not in item.fixturenames:
            item.fixturenames.append("reactor")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    cast(VirtualReactor, pyfuncitem.funcargs["reactor"]).drive(pyfuncitem.obj(**arguments))
    return True
