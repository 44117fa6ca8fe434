"""Hearth and Synapse beside each other on the loopback; tests of this directory run in asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.harness.process import ServerProcess, free_port
from tests.harness.watch import Watch
from tests.interop.peer.certificates import Certificates, make_certificates
from tests.interop.peer.people import ANSWERS_WITHIN_S, Person, Place, Unjudged
from tests.interop.peer.synapse import UNLIMITED, SynapseProcess, installed_synapse, no_limits


class AsyncioReactor:
    """Drives the tests' coroutines, as the virtual reactor does elsewhere."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def drive(self, story: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(story)

    def close(self) -> None:
        self._runner.close()


@pytest.fixture(scope="session")
def reactor() -> Iterator[AsyncioReactor]:
    running = AsyncioReactor()
    yield running
    running.close()


@pytest.fixture(scope="session")
def http(reactor: AsyncioReactor) -> Iterator[aiohttp.ClientSession]:
    async def begin() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWERS_WITHIN_S))

    session = reactor.drive(begin())
    yield session
    reactor.drive(session.close())


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def synapse_process(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[SynapseProcess]:
    process = SynapseProcess(tmp_path_factory.mktemp("synapse"), certificates, installed_synapse())
    process.start()
    yield process
    process.kill()


def make_hearth(directory: Path, certificates: Certificates, **settings: Any) -> ServerProcess:
    """A Hearth that federates over TLS on the loopback; not started yet."""
    port = free_port()
    defaults = {
        "server_name": f"localhost:{port}",
        "listeners": [{"port": port, "bind_addresses": ["127.0.0.1"], "type": "http", "tls": True}],
        "tls_certificate_path": str(certificates.chain),
        "tls_private_key_path": str(certificates.key),
        "federation_custom_ca_list": [str(certificates.authority)],
        "ip_range_whitelist": ["127.0.0.0/8", "::1/128"],
        "trusted_key_servers": [],
        "allow_public_rooms_over_federation": True,
        **limits_for_servers_only(),
        "federation": {"destination_min_retry_interval": "1s", "destination_max_retry_interval": "1s"},
    }
    return ServerProcess(directory, **{**defaults, **settings})


@pytest.fixture(scope="session")
def hearth_process(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[ServerProcess]:
    process = make_hearth(tmp_path_factory.mktemp("hearth"), certificates)
    process.start()
    yield process
    process.stop()


def limits_for_servers_only() -> dict[str, Any]:
    """People do what they like; other servers are as limited as they are by default."""
    of_synapse_only = ("rc_key_requests", "rc_federation")
    own = ("rc_other", "rc_search", "rc_im", "rc_im_login", "rc_friend_requests")
    limits = {name: limit for name, limit in no_limits().items() if name not in of_synapse_only}
    return {
        **limits,
        **dict.fromkeys(own, UNLIMITED),
        "rc_im_users_per_address": 1000,
        "enable_rate_limits": True,
    }


@pytest.fixture(scope="session")
def synapse(synapse_process: SynapseProcess, http: aiohttp.ClientSession) -> Place:
    return Place(synapse_process, synapse_process.server_name, Unjudged(), http)


@pytest.fixture(scope="session")
def hearth(hearth_process: ServerProcess, http: aiohttp.ClientSession) -> Place:
    return Place(hearth_process, hearth_process.server_name, Watch(), http)


@pytest.fixture
def alice(reactor: AsyncioReactor, hearth: Place) -> Person:
    """Somebody new on Hearth."""
    person: Person = reactor.drive(hearth.user("alice"))
    return person


@pytest.fixture
def sam(reactor: AsyncioReactor, synapse: Place) -> Person:
    """Somebody new on Synapse."""
    person: Person = reactor.drive(synapse.user("sam"))
    return person


@pytest.fixture(params=["hearth", "synapse"])
def host(request: pytest.FixtureRequest, alice: Person, sam: Person) -> Person:
    """Who makes the room: every such scenario is played with either server as the resident one."""
    return alice if request.param == "hearth" else sam


@pytest.fixture
def guest(host: Person, alice: Person, sam: Person) -> Person:
    """Somebody on the other server."""
    return sam if host is alice else alice
