"""Which keys a server signs with, and whether it has signed: from memory, the database, the server, or a notary.

Spec: https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import structlog
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from federation.outbound.key_fetching import KeySource, Notary, Wanted
from federation.outbound.key_store import KeysOfServer, KeyStore
from federation.outbound.once import Once
from federation.wire.keys import KnownKey, OldKey
from homeserver.errors import InvalidSignature, KeysUnavailable, RemoteError
from homeserver.events.event import Event
from homeserver.events.signatures import SigningKey, VerifyKey, required_signers, verify_event
from homeserver.ids import EventID, ServerName
from homeserver.runtime.clock import Clock

_log = structlog.get_logger(__name__)

Elsewhere = Callable[..., Awaitable[Any]]
"""Runs `fn(*args)` where it may take long: `deferToThread`, since Ed25519 lets go of the interpreter; or inline."""

Need = tuple[ServerName, Mapping[str, int]]
"""A server, and key IDs of which one must be known and valid until that time (ms)."""

MIN_INTERVAL_MS = 10 * 1000
"""No server is asked for its keys more often, whatever key IDs somebody makes up."""

MAX_INTERVAL_MS = 10 * 60 * 1000
"""A server whose keys cannot be had is asked again after this at the latest."""

PARALLEL_FETCHES = 30
MANY_SERVERS = 5
"""From this many servers on a notary is asked first: one request instead of many."""

NOTARY_BATCH = 100
OFFLOAD_FROM = 16
"""Fewer events than this are verified on the spot."""

VERIFY_BATCH = 100
_KEPT_INTERVALS = 10_000

DEAD_AFTER_MS = 10 * 60 * 1000
"""Keys of a server that has failed for longer are not waited for."""


class Keyring:
    """Finds keys and verifies with them. Concurrent questions about one server are one request."""

    def __init__(
        self,
        store: KeyStore,
        source: KeySource,
        clock: Clock,
        elsewhere: Elsewhere,
        *,
        server_name: ServerName,
        own_keys: Iterable[KnownKey],
        notaries: Sequence[Notary] = (),
    ) -> None:
        self._store = store
        self._source = source
        self._clock = clock
        self._elsewhere = elsewhere
        self._server_name = server_name
        self._own: KeysOfServer = {key.key_id: key for key in own_keys}
        self._notaries = [notary for notary in notaries if notary.server != server_name]
        self._fetches: Once[ServerName, None] = Once()
        self._parallel = DeferredSemaphore(PARALLEL_FETCHES)
        self._left_alone: OrderedDict[ServerName, tuple[int, int, int | None]] = OrderedDict()
        """For how long (ms) a server is not asked again, until when, and since when it has failed."""

    async def request_key(self, server: ServerName, key_id: str) -> bytes:
        """The public key with which the server may sign requests now.

        Raises:
            InvalidSignature: it has no such key, or its keys cannot be had.
        """
        now_ms = self._clock.now_ms()
        key = (await self._find([(server, {key_id: now_ms})]))[server].get(key_id)
        if key is None or not key.signs_requests_at(now_ms):
            raise InvalidSignature(f"{server} has no valid key {key_id}")
        return key.public

    async def verify_event_signatures(self, event: Event) -> None:
        """Whether every server that must have signed the event has.

        Raises:
            InvalidSignature: one has not, or its keys cannot be had.
        """
        verify_event(event, _as_verify_keys(await self._find(_needs_of([event]))))

    async def verify_events(self, events: Sequence[Event]) -> dict[EventID, InvalidSignature]:
        """Verify many events, beside the reactor if they are many; gives why each that fails does.

        It is `KeysUnavailable` where a server does not tell its keys just now.
        """
        keys = _as_verify_keys(await self._find(_needs_of(events)))
        failed: dict[EventID, InvalidSignature] = {}
        if len(events) < OFFLOAD_FROM:
            failed = _verify_all(events, keys)
        else:
            for first in range(0, len(events), VERIFY_BATCH):
                batch = events[first : first + VERIFY_BATCH]
                failed.update(await self._elsewhere(_verify_all, batch, keys))
        for event in events if failed else ():
            if event.event_id in failed and any(
                self._may_still_tell(*need, keys) for need in _needs_of([event])
            ):
                failed[event.event_id] = KeysUnavailable(str(failed[event.event_id]))
        return failed

    def _may_still_tell(
        self,
        server: ServerName,
        wanted: Mapping[str, int],
        keys: Mapping[ServerName, Mapping[str, VerifyKey]],
    ) -> bool:
        """Whether the server has not been asked successfully for these keys, but may be later."""
        failing_since = self._left_alone.get(server, (0, 0, None))[2]
        return (
            failing_since is not None
            and not keys.get(server, {}).keys() & wanted.keys()
            and self._clock.now_ms() - failing_since < DEAD_AFTER_MS
        )

    async def refresh_for_notary(self, wanted: Wanted, until_ms: int) -> None:
        """Ask servers for their keys where those known are not valid long enough, or have lived half their life.

        No key IDs are all keys, which are to be valid until `until_ms`. Failures are only remembered.
        """
        known = await self._store.find(list(wanted))
        now_ms = self._clock.now_ms()
        due = {
            server: keys
            for server, keys in wanted.items()
            if not self._is_left_alone(server) and _is_due(keys, known[server], until_ms, now_ms)
        }
        await self._ask_owners(due)

    async def _find(self, needs: Iterable[Need]) -> dict[ServerName, KeysOfServer]:
        """The keys of the servers named, fetched first where what is known leaves a need unsatisfied."""
        listed = list(needs)
        servers = {server for server, _ in listed if server != self._server_name}
        known = await self._store.find(servers)
        missing: dict[ServerName, dict[str, int]] = {}
        for server, keys in listed:
            if (
                server in servers
                and not is_satisfied(keys, known[server])
                and not self._is_left_alone(server)
            ):
                missing.setdefault(server, {}).update(keys)
        if missing:
            await self._fetch(missing)
            known = await self._store.find(servers)
        known[self._server_name] = self._own
        return known

    async def _fetch(self, missing: Wanted) -> None:
        if self._notaries and len(missing) >= MANY_SERVERS:
            missing = await self._ask_notaries(missing)
            await self._ask_owners(missing)
        else:
            await self._ask_owners(missing)
            await self._ask_notaries(await self._still_missing(missing))

    async def _ask_owners(self, wanted: Wanted) -> None:
        running = [self._parallel.run(_start, partial(self._ask_owner_once, server)) for server in wanted]
        await gatherResults(running, consumeErrors=True)

    async def _ask_owner_once(self, server: ServerName) -> None:
        await self._fetches.run(server, partial(self._ask_owner, server))

    async def _ask_owner(self, server: ServerName) -> None:
        try:
            answer = await self._source.from_owner(server)
        except RemoteError as error:
            _log.info("the keys of a server cannot be had from it", server=server, reason=str(error))
            before = self._left_alone.get(server)
            interval_ms = MIN_INTERVAL_MS if before is None else min(2 * before[0], MAX_INTERVAL_MS)
            failing_since = None if before is None else before[2]
            self._leave_alone(server, interval_ms, failing_since or self._clock.now_ms())
            return
        await self._store.save([answer], fetched_ms=self._clock.now_ms(), by_owner=True)
        self._leave_alone(server, MIN_INTERVAL_MS)

    async def _ask_notaries(self, missing: Wanted) -> Wanted:
        """Ask one notary after the other; gives what none of them had."""
        for notary in self._notaries:
            if not missing:
                break
            servers = list(missing)
            for first in range(0, len(servers), NOTARY_BATCH):
                batch = {server: missing[server] for server in servers[first : first + NOTARY_BATCH]}
                try:
                    answers = await self._source.from_notary(notary, batch)
                except RemoteError as error:
                    _log.info("a notary does not help", notary=notary.server, reason=str(error))
                    break
                await self._store.save(answers, fetched_ms=self._clock.now_ms(), by_owner=False)
            missing = await self._still_missing(missing)
        return missing

    async def _still_missing(self, wanted: Wanted) -> Wanted:
        known = await self._store.find(list(wanted))
        missing = {}
        for server, keys in wanted.items():
            left = {
                key_id: until
                for key_id, until in keys.items()
                if not is_satisfied({key_id: until}, known[server])
            }
            if left:
                missing[server] = left
        return missing

    def _is_left_alone(self, server: ServerName) -> bool:
        left = self._left_alone.get(server)
        return left is not None and left[1] > self._clock.now_ms()

    def _leave_alone(self, server: ServerName, interval_ms: int, failing_since: int | None = None) -> None:
        self._left_alone[server] = (interval_ms, self._clock.now_ms() + interval_ms, failing_since)
        self._left_alone.move_to_end(server)
        while len(self._left_alone) > _KEPT_INTERVALS:
            self._left_alone.popitem(last=False)


def is_satisfied(wanted: Mapping[str, int], known: KeysOfServer) -> bool:
    """Whether one of the wanted keys is known and valid for as long as is needed.

    One is enough, because signatures by keys that nobody knows are skipped.
    """
    for key_id, until_ms in wanted.items():
        key = known.get(key_id)
        # Of a key that is out of use, nobody will ever say that it is valid longer.
        if key is not None and (key.covers(until_ms) or key.is_old):
            return True
    return False


def _is_due(wanted: Mapping[str, int], known: KeysOfServer, until_ms: int, now_ms: int) -> bool:
    current = [key for key in known.values() if not key.is_old]
    for key_id, needed_ms in wanted.items():
        key = known.get(key_id)
        if key is None or (not key.is_old and not key.covers(needed_ms)):
            return True
    if not wanted and not any(key.covers(until_ms) for key in current):
        return True
    return any(2 * now_ms > key.fetched_ms + key.valid_until_ms for key in current)


def _start(make: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
    return Deferred.fromCoroutine(make())


def own_known_keys(keys: Iterable[SigningKey], now_ms: int, *, old: Iterable[OldKey] = ()) -> list[KnownKey]:
    """Our own keys as others know them; they never lapse for ourselves.

    The old ones too: others tell us of what we once signed.
    """
    known = [KnownKey(key.key_id, key.public, 2**53 - 1, False, now_ms) for key in keys]
    known += [KnownKey(key.key_id, key.public, key.expired_ms - 1, True, now_ms) for key in old]
    return known


def _needs_of(events: Iterable[Event]) -> Iterator[Need]:
    """The keys that the events' signatures name, and until when each must be valid."""
    for event in events:
        signatures = event.signatures
        until_ms = event.origin_server_ts if event.version.enforce_key_validity else 0
        for server in required_signers(event):
            of_server = signatures.get(server)
            named = of_server if isinstance(of_server, dict) else {}
            yield server, {key_id: until_ms for key_id in named if key_id.startswith("ed25519:")}


def _as_verify_keys(
    keys: Mapping[ServerName, KeysOfServer],
) -> dict[ServerName, dict[str, VerifyKey]]:
    return {
        server: {key_id: key.as_verify_key() for key_id, key in of_server.items()}
        for server, of_server in keys.items()
    }


def _verify_all(
    events: Sequence[Event], keys: Mapping[ServerName, Mapping[str, VerifyKey]]
) -> dict[EventID, InvalidSignature]:
    failed = {}
    for event in events:
        try:
            verify_event(event, keys)
        except InvalidSignature as error:
            failed[event.event_id] = error
    return failed
