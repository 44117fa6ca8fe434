"""Small services that clients ask for beside the large ones: calls, reports, rendezvous, invite blocking."""

from __future__ import annotations

from config import Config
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.app.users import Users
from homeserver.client_api.calls import CallEndpoints
from homeserver.client_api.rendezvous import RendezvousEndpoints
from homeserver.client_api.reports import ReportEndpoints
from homeserver.rooms.automatic_joins import AcceptedInvites, FirstRooms
from homeserver.rooms.invite_permission import AdministratorsInvite, InvitePermission
from homeserver.rooms.reports import Reports
from homeserver.users.rendezvous import Rendezvous
from homeserver.users.turn import TurnCredentials


class Assistance:
    """Builds them."""

    def __init__(self, config: Config, surroundings: Surroundings, users: Users, rooms: RoomServices) -> None:
        db, clock, randomness = surroundings.database, surroundings.clock, surroundings.randomness
        server_name = config.server.server_name
        rooms.memberships.check_invites_with(InvitePermission(db, server_name=server_name).check)
        if config.rooms.block_non_admin_invites:
            rooms.memberships.check_invites_with(AdministratorsInvite(db).check)
        registration = config.registration
        if registration.auto_join_rooms:
            first_rooms = FirstRooms(
                db,
                registration,
                rooms.directory,
                rooms.creation,
                rooms.memberships,
                server_name=server_name,
                room_version=config.rooms.default_room_version,
            )
            users.registration.subscribe(first_rooms.welcome)
        if registration.auto_accept_invites.enabled:
            AcceptedInvites(
                registration.auto_accept_invites,
                rooms.memberships,
                surroundings.notifier,
                surroundings.tasks,
                server_name=server_name,
            )
        self.reports = Reports(db, clock, randomness, rooms.rooms, rooms.access, server_name=server_name)
        self._handlers: list[object] = [
            CallEndpoints(TurnCredentials(config.turn, clock), config.calls.matrix_rtc.transports),
            ReportEndpoints(self.reports),
            RendezvousEndpoints(Rendezvous(clock, randomness), config.server.base_url),
        ]

    def handlers(self) -> list[object]:
        """The endpoints, for the router."""
        return self._handlers
