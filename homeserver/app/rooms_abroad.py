"""Rooms across servers: receiving what others write, entering their rooms, and letting them into ours."""

from __future__ import annotations

from collections.abc import Mapping

from config import Config
from federation.inbound.edus import EduHandler, EduHandlers, PassingEdus
from federation.inbound.history import RoomHistoryEndpoints
from federation.inbound.invites import InviteEndpoints
from federation.inbound.joins import HandshakeEndpoints
from federation.inbound.policy import PolicyEndpoints
from federation.inbound.queries import DirectoryQueryEndpoints, UserQueryEndpoints
from federation.inbound.third_party import BindingEndpoints
from federation.inbound.transactions import TransactionEndpoints
from federation.inbound.user_keys import UserKeyEndpoints
from federation.outbound.sender import FederationSender
from homeserver.app.e2ee import E2ee
from homeserver.app.e2ee_edus import encryption_edus
from homeserver.app.federation import Federation
from homeserver.app.presence_abroad import PresenceAbroad
from homeserver.app.room_core import RoomCore
from homeserver.app.rooms import RoomParts, RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.app.users import Users
from homeserver.ids import RoomID, UserID
from homeserver.presence.presence import Presence
from homeserver.rooms.arrival import Arrival
from homeserver.rooms.backfill import Backfill
from homeserver.rooms.completing import TemplateSigner
from homeserver.rooms.completion import Completion
from homeserver.rooms.crowd import ExtremityMerge
from homeserver.rooms.gaps import Gaps
from homeserver.rooms.gate import Gate
from homeserver.rooms.handshakes import RemoteHandshakes
from homeserver.rooms.hosting import Hosting
from homeserver.rooms.incoming import Incoming
from homeserver.rooms.invitations import Invitations
from homeserver.rooms.outliers import Outliers
from homeserver.rooms.outside import OutsideMemberships
from homeserver.rooms.past import Past
from homeserver.rooms.receiving import Receiving
from homeserver.rooms.remote_directory import FederatedDirectory
from homeserver.rooms.rescinding import Rescinding
from homeserver.rooms.restricted import RestrictedJoins
from homeserver.rooms.server_visibility import ServerVisibility
from homeserver.rooms.spaces import Spaces
from homeserver.rooms.told import RoomTelling
from homeserver.rooms.turns import Turns


class RoomsAbroad:
    """What rooms need of other servers; `parts` is what the services of rooms are given."""

    def __init__(
        self, config: Config, surroundings: Surroundings, core: RoomCore, federation: Federation
    ) -> None:
        server_name = config.server.server_name
        db, clock = surroundings.database, surroundings.clock
        client = federation.client
        turns: Turns[RoomID] = Turns()
        joins: Turns[RoomID] = Turns()
        self.gate = Gate(federation.keyring, surroundings.executor)
        self.outliers = Outliers(db, core.numbers)
        self.outside = OutsideMemberships(db, core.numbers)
        self.gaps = Gaps(db, client, self.gate, self.outliers, turns, server_name=server_name)
        incoming = Incoming(db, core.rooms, core.numbers, clock, server_name=server_name)
        self.receiving = Receiving(
            db,
            core.rooms,
            incoming,
            self.gate,
            self.gaps,
            turns,
            core.policies,
            ExtremityMerge(core.rooms, core.writer, clock, surroundings.tasks),
            Rescinding(db, self.gate, self.outside, server_name=server_name),
            joins,
            clock,
            surroundings.tasks,
        )
        self._completion = Completion(
            db, core.rooms, self.gaps, turns, clock, surroundings.tasks, server_name=server_name
        )
        self.arrival = Arrival(
            db,
            core.rooms,
            self.outliers,
            core.numbers,
            turns,
            clock,
            self._completion.begin,
            server_name=server_name,
        )
        signer = TemplateSigner(
            db, clock, surroundings.randomness, server_name=server_name, signing_key=core.signing_key
        )
        self._handshakes = RemoteHandshakes(
            db,
            core.rooms,
            client,
            signer,
            self.gate,
            self.receiving,
            self.arrival,
            self.outside,
            core.writer,
            clock,
            surroundings.tasks,
            joins,
            server_name=server_name,
        )
        backfill = Backfill(
            db, core.rooms, client, self.gate, self.gaps, core.numbers, turns, server_name=server_name
        )
        self.parts = RoomParts(
            handshakes=self._handshakes,
            exchange=client,
            remote_directory=FederatedDirectory(client),
            earlier=backfill,
            whole_rooms=self._completion,
        )

    async def start(self) -> None:
        """Go on with what was under way with other servers."""
        await self._handshakes.unsure_joins.start()
        await self._completion.start()
        await self.receiving.late.start()

    def stop(self) -> None:
        self._handshakes.unsure_joins.stop()
        self._completion.stop()
        self.receiving.late.stop()


class FederationServices:
    """What other servers ask of rooms, and what they are told beyond events."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        core: RoomCore,
        abroad: RoomsAbroad,
        rooms: RoomServices,
        presence: Presence,
        e2ee: E2ee,
        users: Users,
        spaces: Spaces,
        more_edus: Mapping[str, EduHandler],
    ) -> None:
        server_name = config.server.server_name
        db, clock = surroundings.database, surroundings.clock
        telling = RoomTelling(db)
        hosting = Hosting(
            core.rooms,
            core.writer,
            abroad.gate,
            abroad.receiving,
            telling,
            RestrictedJoins(core.rooms),
            rooms.memberships.check_may_knock,
            server_name=server_name,
            signing_key=core.signing_key,
            omit_from=config.federation.omit_members_from,
        )
        invitations = Invitations(
            db,
            core.rooms,
            abroad.gate,
            rooms.memberships,
            abroad.outside,
            server_name=server_name,
            signing_key=core.signing_key,
        )
        passing = PassingEdus(db, core.rooms, rooms.typing, rooms.receipts, presence, clock)
        edus: dict[str, EduHandler] = {**passing.handlers(), **encryption_edus(e2ee), **more_edus}
        self._handlers: list[object] = [
            TransactionEndpoints(db, abroad.receiving, EduHandlers(edus), clock),
            HandshakeEndpoints(hosting, server_name=server_name),
            InviteEndpoints(invitations, rooms.invite_exchange),
            PolicyEndpoints(core.rooms, core.policies),
            RoomHistoryEndpoints(
                ServerVisibility(core.rooms, core.state_at),
                Past(db),
                telling,
                clock,
                server_name=server_name,
            ),
        ]
        self._handlers += [
            DirectoryQueryEndpoints(
                rooms.aliases,
                rooms.directory,
                spaces,
                publishes_rooms=config.server.allow_public_rooms_over_federation,
            ),
            UserQueryEndpoints(
                users.profiles,
                users.short_tokens,
                server_name=server_name,
                tells_profiles=config.federation.allow_profile_lookup_over_federation,
            ),
            UserKeyEndpoints(e2ee.answers),
            BindingEndpoints(rooms.invite_exchange, users.profiles, server_name=server_name),
        ]
        self._rooms = rooms
        self._core = core
        self._presence = presence
        self._surroundings = surroundings
        self._server_name = server_name
        self._presence_abroad: PresenceAbroad | None = None

    def handlers(self) -> list[object]:
        """The endpoints, for the router."""
        return self._handlers

    def tell(self, sender: FederationSender) -> None:
        """Have other servers told of what passes: who types, and who is there."""

        def tell_typing(room_id: RoomID, user_id: UserID, is_typing: bool) -> None:  # noqa: FBT001  # as Typing calls it
            sender.typing_changed(room_id, user_id, typing=is_typing)

        self._rooms.typing.subscribe(tell_typing)
        self._presence_abroad = PresenceAbroad(
            self._surroundings, self._core.rooms, self._presence, sender, server_name=self._server_name
        )

    def stop(self) -> None:
        """Tell nobody anything any more."""
        if self._presence_abroad is not None:
            self._presence_abroad.stop()
