"""No one-time key is given out twice, in whatever order things happen."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, gatherResults

from homeserver.e2ee.claims import Claims
from homeserver.e2ee.device_keys import KeyUploads
from homeserver.e2ee.remote_keys import NoRemoteKeys
from homeserver.ids import DeviceID, UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import Notifier
from tests.fixtures.databases import EPOCH_S, memory_database
from tests.fixtures.reactor import VirtualReactor
from tests.harness.device_crypto import OTK, DeviceCrypto
from tests.unit.e2ee.remote_server import ALICE, OURS

DEVICES = [DeviceID("PHONE"), DeviceID("TABLET")]

steps = st.one_of(
    st.tuples(st.just("upload"), st.sampled_from(DEVICES), st.integers(1, 4)),
    st.tuples(st.just("repeat"), st.sampled_from(DEVICES), st.integers(0, 3)),
    st.tuples(st.just("claim"), st.sampled_from(DEVICES), st.integers(1, 4)),
    st.tuples(st.just("wait"), st.sampled_from(DEVICES), st.just(0)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=30))
def test_each_key_is_given_once_and_the_oldest_first(plan: list[tuple[str, DeviceID, int]]) -> None:
    reactor = VirtualReactor()
    reactor.drive(_play(Clock(reactor, epoch_s=EPOCH_S), plan))


async def _play(clock: Clock, plan: list[tuple[str, DeviceID, int]]) -> None:
    notifier = Notifier()
    db = memory_database(clock, notifier)
    uploads, claims = KeyUploads(db, notifier), Claims(db, NoRemoteKeys(), server_name=OURS)
    cryptos = {device: DeviceCrypto(ALICE, device) for device in DEVICES}
    uploaded: dict[DeviceID, list[dict[str, object]]] = {device: [] for device in DEVICES}
    given_out: dict[DeviceID, list[str]] = {device: [] for device in DEVICES}
    under_way: list[Deferred[None]] = []

    async def claim(device: DeviceID) -> None:
        claimed, _ = await claims.claim({UserID(ALICE): {device: OTK}}, 1000)
        given_out[device] += claimed.get(ALICE, {}).get(device, {}).keys()

    async def upload(device: DeviceID, keys: dict[str, object]) -> None:
        await uploads.upload(ALICE, device, one_time_keys=keys)

    for device, crypto in cryptos.items():
        await uploads.upload(ALICE, device, device_keys=crypto.device_keys())
    for what, device, number in plan:
        if what == "upload":
            keys: dict[str, object] = cryptos[device].one_time_keys(number)
            uploaded[device].append(keys)
            under_way.append(Deferred.fromCoroutine(upload(device, keys)))
        elif what == "repeat" and uploaded[device]:
            again = uploaded[device][number % len(uploaded[device])]
            under_way.append(Deferred.fromCoroutine(upload(device, again)))
        elif what == "claim":
            under_way += [Deferred.fromCoroutine(claim(device)) for _ in range(number)]
        else:
            await gatherResults(under_way)
            under_way.clear()
    await gatherResults(under_way)
    await gatherResults([Deferred.fromCoroutine(claim(device)) for device in DEVICES for _ in range(130)])
    await db.close()
    for device in DEVICES:
        expected = [set(keys) for keys in uploaded[device]]
        assert max(Counter(given_out[device]).values(), default=1) == 1
        assert set(given_out[device]) == set().union(*expected)
        place = 0
        for of_upload in expected:
            assert set(given_out[device][place : place + len(of_upload)]) == of_upload
            place += len(of_upload)
