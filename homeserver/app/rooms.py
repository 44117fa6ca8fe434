"""Rooms, built of their parts."""

from __future__ import annotations

from dataclasses import dataclass, field

from config import Config
from homeserver.app.room_core import RoomCore
from homeserver.app.surroundings import Surroundings
from homeserver.app.users import Users
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.aliases import Aliases
from homeserver.rooms.bundles import Bundles
from homeserver.rooms.concealed import Concealed
from homeserver.rooms.creation import RoomCreation
from homeserver.rooms.delayed import DelayedEvents
from homeserver.rooms.departures import Departures
from homeserver.rooms.directory import Directory, RemoteDirectory
from homeserver.rooms.directory_rules import DirectoryRules
from homeserver.rooms.history import Earlier, History
from homeserver.rooms.invisible import IsInvisible, nobody
from homeserver.rooms.invite_exchange import InviteExchange, OtherServers
from homeserver.rooms.member_profiles import ProfilePropagation, StoredMemberProfiles
from homeserver.rooms.membership import Handshakes, Memberships, WholeRooms
from homeserver.rooms.read_markers import ReadMarkers
from homeserver.rooms.receipts import Receipts
from homeserver.rooms.related import Related
from homeserver.rooms.rules import RulesInRooms
from homeserver.rooms.sending import Sending
from homeserver.rooms.standalone import Standalone
from homeserver.rooms.stripped import StrippedStates
from homeserver.rooms.thread_subscriptions import ThreadSubscriptions
from homeserver.rooms.typing import Typing
from homeserver.rooms.upgrade import RoomUpgrades
from homeserver.rooms.visibility import Visibility


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomParts:
    """What rooms take from federation; the defaults are those of a server without it."""

    handshakes: Handshakes = field(default_factory=Standalone)
    exchange: OtherServers = field(default_factory=Standalone)
    remote_directory: RemoteDirectory = field(default_factory=Standalone)
    earlier: Earlier | None = None
    is_invisible: IsInvisible = nobody
    whole_rooms: WholeRooms = field(default_factory=Standalone)


class RoomServices:
    """The services of rooms."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        users: Users,
        core: RoomCore,
        parts: RoomParts,
    ) -> None:
        server_name = config.server.server_name
        db, clock, notifier = surroundings.database, surroundings.clock, surroundings.notifier
        self.rules = core.rules
        self.rooms = core.rooms
        self.rules_in_rooms = RulesInRooms(
            db, self.rooms, self.rules, notifier, surroundings.tasks, server_name=server_name
        )
        self.writer = core.writer
        self.state_at = core.state_at
        self.concealed = Concealed(db, notifier)
        self.visibility = Visibility(db, self.state_at, self.concealed)
        self.earlier = parts.earlier
        self.history = History(db, self.visibility, parts.earlier)
        self.access = RoomAccess(db, self.rooms, self.state_at, self.visibility, parts.whole_rooms)
        self.profiles = StoredMemberProfiles(db)
        self.memberships = Memberships(
            db,
            self.rooms,
            self.writer,
            self.profiles,
            parts.handshakes,
            parts.whole_rooms,
            server_name=server_name,
        )
        self.invite_exchange = InviteExchange(
            self.rooms, self.memberships, parts.exchange, server_name=server_name
        )
        directory = config.directory
        self.aliases = Aliases(
            db, self.rooms, DirectoryRules(directory.alias_creation_rules), server_name=server_name
        )
        self.directory = Directory(
            db,
            self.rooms,
            self.aliases,
            parts.remote_directory,
            DirectoryRules(directory.room_list_publication_rules),
            server_name=server_name,
            is_listed=directory.enable_room_list_search,
        )
        self.creation = RoomCreation(
            self.writer,
            self.memberships,
            self.aliases,
            self.profiles,
            surroundings.randomness,
            config.rooms,
            server_name=server_name,
        )
        self.upgrades = RoomUpgrades(self.writer, self.access, self.creation, self.aliases, self.directory)
        self.sending = Sending(db, self.writer, self.memberships, self.access, self.aliases)
        self.delayed = DelayedEvents(
            db,
            self.sending,
            self.access,
            clock,
            surroundings.tasks,
            surroundings.randomness,
            max_delay_ms=config.rooms.max_event_delay_duration_ms,
        )
        self.thread_subscriptions = ThreadSubscriptions(db, self.access)
        self.receipts = Receipts(db, self.rooms, clock)
        self.read_markers = ReadMarkers(db, self.receipts, parts.is_invisible)
        self.typing = Typing(self.rooms, notifier, clock, parts.is_invisible)
        self.stripped = StrippedStates(db, self.rooms)
        self.bundles = Bundles(db)
        self.related = Related(db, self.visibility)
        propagation = ProfilePropagation(db, self.rooms, self.writer, self.profiles, surroundings.tasks)
        users.profiles.subscribe(propagation.profile_changed)
        self.departures = Departures(db, self.memberships, surroundings.tasks)
        users.deactivation.subscribe(self.departures.begin)
