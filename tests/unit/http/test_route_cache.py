"""Remembered answers."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.errors import NotFound, RemoteError
from homeserver.http.route_cache import RouteCache
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogEntry, LogKind, Notifier
from homeserver.runtime.tasks import Tasks
from tests.fixtures.reactor import VirtualReactor

TTL_MS = 60_000


class Shelf:
    """Shared answers in memory, which may be away."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, bytes]] = {}
        self.leases: set[str] = set()
        self.is_away = False

    def _look(self) -> None:
        if self.is_away:
            raise RemoteError("away")

    async def find(self, tag: str, key: str) -> bytes | None:
        self._look()
        return self.kept.get(tag, {}).get(key)

    async def put(self, tag: str, key: str, value: bytes, ttl_ms: int) -> None:
        self._look()
        self.kept.setdefault(tag, {})[key] = value

    async def forget(self, tags: Any) -> None:
        self._look()
        for tag in tags:
            self.kept.pop(tag, None)

    async def lease(self, key: str, ttl_ms: int) -> bool:
        self._look()
        if key in self.leases:
            return False
        self.leases.add(key)
        return True

    async def release(self, key: str) -> None:
        self._look()
        self.leases.discard(key)


class Answers:
    """What those who asked have got."""

    def __init__(self) -> None:
        self.all: list[bytes] = []

    def add(self, answer: bytes) -> None:
        self.all.append(answer)


class Kitchen:
    """Makes answers, when it is told to, and counts them."""

    def __init__(self) -> None:
        self.made = 0
        self.orders: list[Deferred[Any]] = []

    async def cook(self) -> Any:
        self.made += 1
        order: Deferred[Any] = Deferred()
        self.orders.append(order)
        return await order

    async def at_once(self) -> Any:
        self.made += 1
        return self.made


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def notifier() -> Notifier:
    return Notifier()


def cache_of(clock: Clock, notifier: Notifier, shelf: Shelf | None, **more: Any) -> RouteCache:
    cache = RouteCache(clock, notifier, Tasks(clock), ttl_ms=TTL_MS, shared=shelf, **more)
    cache.follow(lambda entry: (entry.ref,))
    return cache


def changes(notifier: Notifier, tag: str) -> None:
    notifier.announce([LogEntry(notifier.position + 1, LogKind.PROFILE, None, None, tag)])


def asks(cache: RouteCache, kitchen: Kitchen, key: str = "k", tag: str = "t") -> Deferred[bytes]:
    return Deferred.fromCoroutine(cache.get(key, tag, kitchen.cook))


def test_two_hundred_misses_make_one_answer(clock: Clock, notifier: Notifier) -> None:
    cache, kitchen, answers = cache_of(clock, notifier, None), Kitchen(), Answers()
    for _ in range(200):
        asks(cache, kitchen).addCallback(answers.add)
    assert kitchen.made == 1
    kitchen.orders[0].callback({"a": 1})
    assert answers.all == [b'{"a":1}'] * 200
    asks(cache, kitchen).addCallback(answers.add)
    assert (kitchen.made, len(answers.all)) == (1, 201)


def test_processes_make_one_answer_together(
    clock: Clock, notifier: Notifier, shelf: Shelf, reactor: VirtualReactor
) -> None:
    caches, kitchen, answers = [cache_of(clock, notifier, shelf) for _ in range(4)], Kitchen(), Answers()
    for _ in range(50):
        for cache in caches:
            asks(cache, kitchen).addCallback(answers.add)
    assert kitchen.made == 1
    kitchen.orders[0].callback(7)
    reactor.advance(0.1)
    assert (kitchen.made, answers.all) == (1, [b"7"] * 200)
    # What one has made, a newcomer finds.
    asks(cache_of(clock, notifier, shelf), kitchen).addCallback(answers.add)
    assert (kitchen.made, len(answers.all)) == (1, 201)


def test_who_waits_for_a_dead_process_helps_itself(
    clock: Clock, notifier: Notifier, shelf: Shelf, reactor: VirtualReactor
) -> None:
    cache, kitchen = cache_of(clock, notifier, shelf), Kitchen()
    shelf.leases.add("k")
    asks(cache, kitchen)
    assert kitchen.made == 0
    for _ in range(120):
        reactor.advance(0.02)
    assert kitchen.made == 1


async def test_what_has_changed_is_made_again(clock: Clock, notifier: Notifier, shelf: Shelf) -> None:
    one, other = cache_of(clock, notifier, shelf), cache_of(clock, notifier, shelf)
    kitchen = Kitchen()
    assert [await each.get("k", "t", kitchen.at_once) for each in (one, other)] == [b"1", b"1"]
    changes(notifier, "another")
    assert await one.get("k", "t", kitchen.at_once) == b"1"
    changes(notifier, "t")
    assert [await each.get("k", "t", kitchen.at_once) for each in (one, other)] == [b"2", b"2"]


async def test_what_is_made_during_a_change_is_not_remembered(
    clock: Clock, notifier: Notifier, shelf: Shelf
) -> None:
    cache, kitchen = cache_of(clock, notifier, shelf), Kitchen()
    early = asks(cache, kitchen)
    changes(notifier, "t")
    kitchen.orders[0].callback("old")
    assert await early == b'"old"'
    assert shelf.kept == {}
    later = asks(cache, kitchen)
    kitchen.orders[1].callback("new")
    assert await later == b'"new"'


async def test_what_redis_has_from_before_a_change_is_not_taken(
    clock: Clock, notifier: Notifier, shelf: Shelf
) -> None:
    elsewhere, kitchen = Notifier(), Kitchen()
    behind, ahead = cache_of(clock, elsewhere, shelf), cache_of(clock, notifier, shelf)
    changes(notifier, "t")
    # The other process has not heard of it yet.
    assert await behind.get("k", "t", kitchen.at_once) == b"1"
    assert await ahead.get("k", "t", kitchen.at_once) == b"2"


async def test_answers_grow_old(
    clock: Clock, notifier: Notifier, shelf: Shelf, reactor: VirtualReactor
) -> None:
    cache, kitchen = cache_of(clock, notifier, shelf), Kitchen()
    await cache.get("k", "t", kitchen.at_once)
    reactor.advance(TTL_MS / 1000 - 1)
    assert await cache.get("k", "t", kitchen.at_once) == b"1"
    reactor.advance(1)
    assert await cache.get("k", "t", kitchen.at_once) == b"2"


async def test_without_redis_everything_goes_on(clock: Clock, notifier: Notifier, shelf: Shelf) -> None:
    cache, kitchen = cache_of(clock, notifier, shelf), Kitchen()
    shelf.is_away = True
    assert await cache.get("k", "t", kitchen.at_once) == b"1"
    changes(notifier, "t")
    assert await cache.get("k", "t", kitchen.at_once) == b"2"


async def test_a_refusal_is_everybodys_and_is_not_remembered(clock: Clock, notifier: Notifier) -> None:
    cache, kitchen = cache_of(clock, notifier, None), Kitchen()
    waiting = [asks(cache, kitchen) for _ in range(3)]
    kitchen.orders[0].errback(NotFound("nobody"))
    for one in waiting:
        with pytest.raises(NotFound):
            await one
    assert await cache.get("k", "t", kitchen.at_once) == b"2"


async def test_memory_is_bounded(clock: Clock, notifier: Notifier) -> None:
    cache, kitchen = cache_of(clock, notifier, None, max_bytes=40), Kitchen()
    for key in ("aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc", "dddddddddd"):
        await cache.get(key, key, kitchen.at_once)
    assert await cache.get("dddddddddd", "dddddddddd", kitchen.at_once) == b"4"
    assert await cache.get("aaaaaaaaaa", "aaaaaaaaaa", kitchen.at_once) == b"5"
