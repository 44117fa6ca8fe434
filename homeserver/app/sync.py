"""What clients follow, built of its parts, and the endpoints of rooms and sync."""

from __future__ import annotations

from collections.abc import Sequence

from config import Config
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.app.users import Users
from homeserver.client_api.delayed_events import DelayedEventEndpoints
from homeserver.client_api.directory import DirectoryEndpoints
from homeserver.client_api.history import HistoryEndpoints
from homeserver.client_api.membership import MembershipEndpoints
from homeserver.client_api.receipts import ReceiptEndpoints
from homeserver.client_api.relations import RelationEndpoints
from homeserver.client_api.room_creation import RoomCreationEndpoints
from homeserver.client_api.sending import SendingEndpoints
from homeserver.client_api.sliding_sync import SlidingSyncEndpoints
from homeserver.client_api.sync import SyncEndpoints
from homeserver.client_api.thread_subscriptions import ThreadSubscriptionEndpoints
from homeserver.client_api.upgrade import UpgradeEndpoints
from homeserver.http.rate_limit import RateLimiter
from homeserver.rooms.third_party_invites import ThirdPartyInvites
from homeserver.sync.clients import PresenceWatch, SyncClients
from homeserver.sync.composer import Composer, Extras
from homeserver.sync.departed import DepartedSections
from homeserver.sync.feeds import Feeds
from homeserver.sync.fragments import Fragments
from homeserver.sync.lazy_members import LazyMembers
from homeserver.sync.long_poll import LongPolls
from homeserver.sync.own_data import StoredOwnData
from homeserver.sync.room_section import RoomSections
from homeserver.sync.sliding.bumps import BumpStamps
from homeserver.sync.sliding.departed import DepartedRooms
from homeserver.sync.sliding.engine import Extension, SlidingSync
from homeserver.sync.sliding.extensions import AccountDataExtension, ReceiptsExtension, TypingExtension
from homeserver.sync.sliding.lists import RoomLists
from homeserver.sync.sliding.rooms import SlidingRooms
from homeserver.sync.sliding.threads import ThreadSubscriptionsExtension
from homeserver.users.identity_servers import IdentityServers


class SyncServices:
    """The services of those who follow; `handlers` are the endpoints of rooms and of `/sync`."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        users: Users,
        rooms: RoomServices,
        presence: PresenceWatch,
        identity: IdentityServers,
        limiter: RateLimiter,
        extras: Sequence[Extras] = (),
        extensions: Sequence[Extension] = (),
    ) -> None:
        server_name = config.server.server_name
        db, clock, notifier = surroundings.database, surroundings.clock, surroundings.notifier
        self._config = config
        self._rooms = rooms
        self._limiter = limiter
        self._notifier = notifier
        self.feeds = Feeds(db, rooms.rooms, notifier, server_name=server_name)
        self.own_data = StoredOwnData(db, notifier, rooms.rules)
        self.fragments = Fragments(config.caches.fragments_bytes)
        self.sections = RoomSections(
            rooms.history, rooms.state_at, rooms.bundles, self.fragments, LazyMembers()
        )
        self.departed = DepartedSections(
            rooms.rooms, rooms.history, rooms.state_at, rooms.stripped, rooms.bundles
        )
        self.composer = Composer(
            rooms.rooms,
            notifier,
            rooms.history,
            self.sections,
            self.departed,
            self.own_data,
            rooms.concealed,
            tuple(extras),
        )
        self.polls = LongPolls(self.feeds, self.composer, clock)
        self.sliding = SlidingSync(
            self.feeds,
            self.composer,
            self.polls,
            RoomLists(db, rooms.rooms, rooms.stripped),
            SlidingRooms(
                rooms.rooms,
                rooms.history,
                rooms.state_at,
                rooms.bundles,
                BumpStamps(db),
                DepartedRooms(rooms.rooms, rooms.history, rooms.state_at, rooms.stripped, rooms.bundles),
            ),
            self.own_data,
            [
                AccountDataExtension(db, rooms.rules),
                ReceiptsExtension(rooms.rooms),
                TypingExtension(rooms.rooms),
                ThreadSubscriptionsExtension(rooms.thread_subscriptions),
                *extensions,
            ],
        )
        self.third_party_invites = ThirdPartyInvites(
            rooms.rooms,
            rooms.writer,
            rooms.memberships,
            rooms.profiles,
            identity,
            rooms.invite_exchange,
        )
        users.events.subscribe(self.sliding.forget)
        self.clients = SyncClients(db, presence, users.events, self.feeds)

    def handlers(self) -> list[object]:
        config, rooms = self._config, self._rooms
        return [
            SyncEndpoints(self.polls, self.clients),
            SlidingSyncEndpoints(self.sliding, self.clients, self._limiter),
            RoomCreationEndpoints(
                rooms.creation,
                rooms.directory,
                self.third_party_invites,
                server_name=config.server.server_name,
                default_version=config.rooms.default_room_version,
            ),
            UpgradeEndpoints(rooms.upgrades),
            MembershipEndpoints(rooms.memberships, self.third_party_invites, rooms.directory, self.feeds),
            SendingEndpoints(rooms.sending, rooms.access, rooms.delayed),
            DelayedEventEndpoints(rooms.delayed),
            ThreadSubscriptionEndpoints(rooms.thread_subscriptions, self._notifier),
            HistoryEndpoints(rooms.access, rooms.history, rooms.state_at, rooms.bundles, self.own_data),
            RelationEndpoints(rooms.access, rooms.related, rooms.bundles, self.own_data),
            ReceiptEndpoints(rooms.access, rooms.read_markers, rooms.typing),
            DirectoryEndpoints(
                rooms.directory,
                rooms.aliases,
                rooms.access,
                public_without_token=config.server.allow_public_rooms_without_auth,
                only_members_name=config.directory.require_membership_for_aliases,
            ),
        ]
