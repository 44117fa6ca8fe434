"""Application services, built of their parts."""

from __future__ import annotations

from config import Config
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.appservices.client import Http, NoHttp, ServiceClient
from homeserver.appservices.directory import Appservices
from homeserver.appservices.follower import Following
from homeserver.appservices.networks import Networks
from homeserver.appservices.registration import load_registrations
from homeserver.appservices.service import Asking, Telling
from homeserver.client_api.appservices import AppserviceEndpoints, ThirdPartyEndpoints
from homeserver.http.client import OutboundHttp
from homeserver.http.gate.addresses import AddressPolicy
from homeserver.http.gate.fetching import Fetcher
from homeserver.http.gate.tls import Trust
from homeserver.presence.presence import Presence
from homeserver.rooms.log_tail import LogTail


def registered(config: Config) -> Appservices:
    """The services of the configuration's files.

    Raises:
        InvalidRegistration: a file is not what it must be.
    """
    files = config.appservices.app_service_config_files
    return Appservices(load_registrations(files, config.server.server_name))


class AppserviceServices:
    """What is done for application services."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        rooms: RoomServices,
        presence: Presence,
        appservices: Appservices,
        tail: LogTail,
    ) -> None:
        clock = surroundings.clock
        self._appservices = appservices
        self._surroundings = surroundings
        self._directory = rooms.directory
        self.client = ServiceClient(
            _http(surroundings), token_in_query=config.appservices.use_appservice_legacy_authorization
        )
        following = Following(
            surroundings.database,
            tail,
            rooms.rooms,
            self.client,
            clock,
            surroundings.tasks,
            f"p{surroundings.randomness.token(6)}.",
        )
        self.telling = Telling(appservices, following, presence, surroundings.notifier)
        self.asking = Asking(
            appservices,
            self.client,
            surroundings.database,
            clock,
            server_name=config.server.server_name,
        )
        self.networks = Networks(appservices, self.client, clock)
        if appservices.all:
            rooms.memberships.check_invites_with(self.asking.check_invitation)
            rooms.aliases.check_with(appservices.check_alias)
            rooms.directory.ask_for_aliases(self.asking.find_alias)

    def handlers(self) -> list[object]:
        return [AppserviceEndpoints(self.asking, self._directory), ThirdPartyEndpoints(self.networks)]

    async def start(self) -> None:
        """Make the services' own users, and begin to tell."""
        await self._appservices.register_senders(
            self._surroundings.database, self._surroundings.clock.now_ms()
        )
        self.telling.start()

    async def stop(self) -> None:
        await self.telling.stop()


def _http(surroundings: Surroundings) -> Http:
    """The way to services: the operator has said where they are, so no address is denied."""
    if surroundings.network is None:
        return NoHttp()
    fetcher = Fetcher(surroundings.network, surroundings.clock, AddressPolicy(()), Trust())
    return OutboundHttp(fetcher, surroundings.clock)
