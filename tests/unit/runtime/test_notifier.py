"""Followers hear of everything, in order."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from tests.conftest import Logged


def _entry(position: int) -> LogEntry:
    return LogEntry(position, LogKind.EVENT, "!r:here", None, f"${position}")


def test_listeners_hear_until_they_leave(notifier: Notifier) -> None:
    heard: list[LogEntry] = []
    leave = notifier.subscribe(heard.extend)
    notifier.announce([_entry(1), _entry(2)])
    leave()
    notifier.announce([_entry(3)])
    assert [entry.position for entry in heard] == [1, 2]
    assert notifier.position == 3


def test_the_position_is_there_when_listeners_look(notifier: Notifier) -> None:
    seen: list[int] = []
    notifier.subscribe(lambda _: seen.append(notifier.position))
    notifier.announce([_entry(4)])
    notifier.announce([])
    assert seen == [4]


def test_a_listener_that_fails_is_reported_and_the_others_go_on(notifier: Notifier, logged: Logged) -> None:
    logged.expect_errors()
    heard: list[LogEntry] = []

    def fail(_entries: Sequence[LogEntry]) -> None:
        raise ValueError("no")

    notifier.subscribe(fail)
    notifier.subscribe(heard.extend)
    notifier.announce([_entry(1)])
    assert len(heard) == 1
    assert len(logged.errors) == 1


def test_waiting(notifier: Notifier) -> None:
    notifier.start_at(5)
    results: dict[int, int] = {}

    async def wait(position: int) -> None:
        results[position] = await notifier.wait_past(position)

    for position in (4, 5, 6):
        Deferred.fromCoroutine(wait(position))
    assert results == {4: 5}
    notifier.announce([_entry(6)])
    assert results == {4: 5, 5: 6}
    notifier.announce([_entry(7)])
    assert results == {4: 5, 5: 6, 6: 7}


def test_giving_up_waiting(notifier: Notifier) -> None:
    waiting = Deferred.fromCoroutine(notifier.wait_past(0))
    waiting.addErrback(lambda _: None)
    waiting.cancel()
    notifier.announce([_entry(1)])
    assert waiting.called


def test_ephemeral_changes_have_a_counter_of_their_own(notifier: Notifier) -> None:
    heard: list[tuple[str, str | None, str | None, int]] = []
    leave = notifier.subscribe_ephemeral(lambda *change: heard.append(change))
    assert notifier.announce_ephemeral("typing", "!r:here", "@a:here") == 1
    leave()
    assert notifier.announce_ephemeral("presence", None, "@a:here") == 2
    assert heard == [("typing", "!r:here", "@a:here", 1)]
    assert (notifier.ephemeral, notifier.position) == (2, 0)
