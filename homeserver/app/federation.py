"""Federation, built of its parts: what asks and tells other servers, and what answers them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from twisted.names.client import Resolver as DnsResolver

from config import Config
from config.federation import KeysConfig
from federation.inbound.authentication import ServerAuthenticator
from federation.inbound.keys import KeyEndpoints
from federation.outbound.backoff import Backoff
from federation.outbound.client import FederationClient
from federation.outbound.https import HttpsTransport
from federation.outbound.identity import make_identity, parse_old_keys
from federation.outbound.key_fetching import Notary, RemoteKeySource
from federation.outbound.key_store import KeyStore
from federation.outbound.keyring import Keyring, own_known_keys
from federation.outbound.media import RemoteMedia
from federation.outbound.policy import FederationPolicy
from federation.outbound.requests import SignedRequests
from federation.outbound.resolver import DnsSrvLookup, Resolver
from federation.outbound.sender import FederationSender, SendingParts
from federation.outbound.transport import Transport, WebClient
from homeserver.app.surroundings import Surroundings
from homeserver.errors import NotFound
from homeserver.events.signatures import SigningKey, decode_base64
from homeserver.http.gate.addresses import AddressPolicy
from homeserver.http.gate.dialing import Dialer
from homeserver.http.gate.fetching import Fetcher
from homeserver.http.gate.tls import Trust
from homeserver.ids import RoomID, ServerName
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.registry import Rooms
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness


class Outside:
    """The ways out of this server; in simulation, those of a network in memory."""

    def __init__(self, transport: Transport, web: WebClient) -> None:
        self.transport = transport
        self.web = web


def https_outside(
    config: Config, reactor: Any, clock: Clock, randomness: Randomness, *, user_agent: str
) -> Outside:
    """The real ways out: TLS through the gate."""
    section = config.federation
    policy = AddressPolicy(section.ip_range_blacklist, section.ip_range_whitelist)
    trust = Trust(
        section.federation_custom_ca_list,
        platform=not section.federation_custom_ca_list,
        oldest=section.federation_client_minimum_tls_version,
    )
    web = Fetcher(reactor, clock, policy, trust, user_agent=user_agent)
    dns = DnsSrvLookup(DnsResolver(resolv="/etc/resolv.conf", reactor=reactor))
    transport = HttpsTransport(
        reactor,
        clock,
        Resolver(web, dns, clock, randomness),
        Dialer(reactor, policy),
        trust,
        user_agent=user_agent,
        verify=section.federation_verify_certificates,
        unverified=section.federation_certificate_verification_whitelist,
    )
    return Outside(transport, web)


class Federation:
    """What other services ask of other servers; `sender` follows once there are rooms."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        signing_keys: Sequence[SigningKey],
        outside: Outside,
        *,
        version: str,
    ) -> None:
        clock = surroundings.clock
        server_name = config.server.server_name
        section = config.federation
        self.identity = make_identity(server_name, signing_keys, config.keys)
        self.policy = FederationPolicy(
            server_name,
            allowed=section.federation_domain_whitelist,
            denied=section.federation_domain_blacklist,
        )
        self.backoff = Backoff(
            surroundings.database, clock, surroundings.randomness, surroundings.tasks, section.federation
        )
        store = KeyStore(surroundings.database)
        self.keyring = Keyring(
            store,
            RemoteKeySource(outside.transport, self.policy),
            clock,
            surroundings.executor,
            server_name=server_name,
            own_keys=own_known_keys(
                signing_keys, clock.now_ms(), old=parse_old_keys(config.keys.old_signing_keys)
            ),
            notaries=notaries_of(config.keys),
        )
        requests = SignedRequests(
            outside.transport,
            self.backoff,
            self.policy,
            clock,
            server_name=server_name,
            signing_key=self.identity.key,
            timeout_ms=section.federation.client_timeout_ms,
        )
        self.client = FederationClient(requests)
        self.media = RemoteMedia(requests, outside.web)
        self.authenticator = ServerAuthenticator(
            self.keyring, self.policy, self.backoff, server_name=server_name
        )
        self.key_endpoints = KeyEndpoints(self.identity, self.keyring, store, clock, software_version=version)
        self._surroundings = surroundings

    def make_sender(self, rooms: Rooms) -> FederationSender:
        """The follower of the log that tells others; start it after `backoff.load()`."""
        surroundings = self._surroundings
        parts = SendingParts(
            self.client,
            self.backoff,
            surroundings.clock,
            surroundings.tasks,
            surroundings.randomness.token(6) + ".",
        )
        return FederationSender(
            surroundings.database,
            surroundings.notifier,
            _ServersOfRooms(rooms),
            parts,
            self.policy,
            server_name=self.identity.server_name,
        )


class _ServersOfRooms:
    """Which servers are in a room, as live rooms know it."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def find(self, room_id: RoomID) -> Collection[ServerName] | None:
        room = self._rooms.find(room_id)
        return None if room is None else _servers_of(room)

    async def load(self, room_id: RoomID) -> Collection[ServerName]:
        try:
            return _servers_of(await self._rooms.load(room_id))
        except NotFound:
            return ()


def _servers_of(room: LiveRoom) -> Collection[ServerName]:
    servers = room.joined_servers.keys()
    return servers | room.partial_servers if room.partial_servers else servers


def notaries_of(config: KeysConfig) -> list[Notary]:
    """The servers whose word about others' keys is taken."""
    return [
        Notary(one.server_name, {key_id: decode_base64(key) for key_id, key in one.verify_keys.items()})
        for one in config.trusted_key_servers
    ]
