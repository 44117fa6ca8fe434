"""All services of a server, in the order in which they build on one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from config import Config
from federation.wire.edus import DELIVERY
from homeserver.app.appservices import registered
from homeserver.app.assistance import Assistance
from homeserver.app.e2ee import E2ee, E2eeParts, user_parts
from homeserver.app.features import Features
from homeserver.app.federation import Federation
from homeserver.app.im import ImServices
from homeserver.app.im_accounts import ImAccountServices
from homeserver.app.im_realtime import RealtimeServices
from homeserver.app.im_service import with_description
from homeserver.app.mail import Mail
from homeserver.app.media import MediaServices
from homeserver.app.oauth import OAuth, with_oauth
from homeserver.app.push import with_push
from homeserver.app.room_core import RoomCore, policy_rules
from homeserver.app.rooms import RoomServices
from homeserver.app.rooms_abroad import FederationServices, RoomsAbroad
from homeserver.app.social import SocialServices
from homeserver.app.surroundings import Surroundings
from homeserver.app.sync import SyncServices
from homeserver.app.users import Users
from homeserver.client_api.presence import PresenceEndpoints
from homeserver.client_api.stream import StreamEndpoints
from homeserver.client_api.stream_methods import StreamMethods
from homeserver.events.signatures import SigningKey
from homeserver.http.endpoint import Auth
from homeserver.http.rate_limit import RateLimiter
from homeserver.http.route_cache import RouteCache
from homeserver.http.router import Authenticator
from homeserver.im.cached import tags_of
from homeserver.presence.activity import PresenceActivity
from homeserver.presence.mode_following import ModeFollowing
from homeserver.presence.presence import Presence
from homeserver.rooms.numbers import EventNumbers
from homeserver.rooms.policy import RoomPolicies
from homeserver.sync.presence_section import PresenceAudience, PresenceSection
from homeserver.sync.sliding.encryption import EncryptionExtension, ToDeviceExtension
from homeserver.sync.sliding.profiles import ProfilesExtension
from homeserver.sync.socket import SocketServices
from homeserver.users.remote_profiles import FederatedProfiles


class Services:
    """What a server can do; `client_handlers` and their like are how it is asked."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        limiter: RateLimiter,
        signing_keys: Sequence[SigningKey],
        numbers: EventNumbers,
        federation: Federation,
    ) -> None:
        db, clock, notifier = surroundings.database, surroundings.clock, surroundings.notifier
        self._config = config
        appservices = registered(config)
        self.mail = Mail(config, surroundings, signing_keys[0])
        self.users = Users(
            config,
            db,
            clock,
            notifier,
            surroundings.tasks,
            surroundings.randomness,
            limiter,
            surroundings.executor,
            replace(
                self.mail.with_mail(with_oauth(with_push(user_parts(surroundings)), config)),
                appservices=appservices,
                remote_profiles=FederatedProfiles(federation.client),
            ),
        )
        self.oauth = OAuth(config, surroundings, self.users)
        e2ee_parts = E2eeParts(remote_keys=federation.client, oauth=self.oauth.tokens)
        self.e2ee = E2ee(config, surroundings, self.users, e2ee_parts)
        policies = RoomPolicies(
            federation.client, policy_rules(config), server_name=config.server.server_name
        )
        core = RoomCore(config, surroundings, numbers, policies, signing_keys[0])
        self._abroad = abroad = RoomsAbroad(config, surroundings, core, federation)
        self.presence = Presence(db, notifier, clock, enabled=config.presence.enabled)
        self._modes = ModeFollowing(db, notifier, surroundings.tasks, self.presence)
        parts = replace(abroad.parts, is_invisible=self.presence.is_invisible)
        self.rooms = RoomServices(config, surroundings, self.users, core, parts)
        PresenceActivity(self.presence, notifier)
        presence_section = PresenceSection(self.presence, self.rooms.rooms, clock)
        self.sync = SyncServices(
            config,
            surroundings,
            self.users,
            self.rooms,
            self.presence,
            self.mail.identity,
            limiter,
            extras=[self.e2ee.sections, presence_section],
            extensions=[
                ToDeviceExtension(self.e2ee.inboxes),
                EncryptionExtension(self.e2ee.sections),
                ProfilesExtension(db, self.rooms.rooms, notifier, self.e2ee.sections.changes),
            ],
        )
        self.features = Features(
            config,
            surroundings,
            self.users,
            self.rooms,
            self.sync,
            self.presence,
            presence_section,
            federation,
            appservices,
            self.mail.mailer,
        )
        self.im = ImServices(config, surroundings, self.users, self.rooms, self.presence, self.sync.own_data)
        if config.im.enabled:
            self.sync.clients.subscribe(self.im.talk.deliveries.synced)
        self.federation = FederationServices(
            config,
            surroundings,
            core,
            abroad,
            self.rooms,
            self.presence,
            self.e2ee,
            self.users,
            self.features.spaces.spaces,
            {DELIVERY: self.im.talk.deliveries.receive} if config.im.enabled else {},
        )
        self.audience = PresenceAudience(db, self.rooms.rooms, self.sync.feeds, notifier)
        self.assistance = Assistance(config, surroundings, self.users, self.rooms)
        self.media = MediaServices(config, surroundings, federation.media)
        cache = RouteCache(
            clock,
            notifier,
            surroundings.tasks,
            ttl_ms=config.caches.route_cache_ttl_ms,
            shared=surroundings.shared,
        )
        cache.follow(tags_of)
        self.im_accounts = ImAccountServices(
            config, surroundings, self.users, self.mail, self.im, self.presence, limiter, cache
        )
        self.social = SocialServices(
            config,
            surroundings,
            self.rooms,
            self.im.follower,
            self.im.talk.speaking,
            self.users.push_rules,
            cache,
        )
        self.realtime = RealtimeServices(
            surroundings,
            self.users,
            self.rooms,
            self.sync,
            self.im,
            self.social.calls,
            self.im_accounts.own_presence,
            limiter,
            self.e2ee.sections,
        )
        self._presence_endpoints = PresenceEndpoints(self.presence, self.audience, clock)
        methods = StreamMethods(
            self.rooms.sending,
            self.rooms.access,
            self.rooms.typing,
            self.rooms.read_markers,
            self.presence,
            limiter,
        )
        self._stream_endpoints = StreamEndpoints(
            SocketServices(
                self.sync.polls,
                self.sync.clients,
                clock,
                surroundings.tasks,
                methods.by_name(),
                self.e2ee.sections,
            )
        )

    @classmethod
    async def build(
        cls,
        config: Config,
        surroundings: Surroundings,
        limiter: RateLimiter,
        signing_keys: Sequence[SigningKey],
        federation: Federation,
    ) -> Services:
        numbers = await EventNumbers.load(surroundings.database)
        return cls(config, surroundings, limiter, signing_keys, numbers, federation)

    def client_handlers(self) -> list[object]:
        """Everything under `/_matrix/client`, and what administrators ask of accounts."""
        return [
            *self.users.handlers(),
            *self.oauth.handlers(),
            *self.assistance.handlers(),
            *self.mail.handlers(self.users),
            *self.e2ee.handlers(),
            *self.sync.handlers(),
            *self.features.handlers(),
            self._presence_endpoints,
            self._stream_endpoints,
        ]

    def im_handlers(self) -> list[object]:
        """Everything under `/im/v1`."""
        groups = self.social.groups
        handlers = [
            *self.im_accounts.handlers(),
            self.im_accounts.administration(groups.groups, groups.dissolution),
            *self.im.handlers(),
            *self.social.handlers(),
            *self.realtime.handlers(),
            *self.media.im_handlers(),
        ]
        return with_description(self._config, self.mail, handlers)

    def authenticators(self) -> dict[Auth, Authenticator]:
        authenticator = self.users.authenticator
        return {
            Auth.ACCESS_TOKEN: authenticator,
            Auth.ACCESS_TOKEN_OPTIONAL: authenticator,
            Auth.ADMIN: authenticator,
            Auth.APPSERVICE: authenticator.appservice,
        }

    async def start(self) -> None:
        """Begin what runs by itself."""
        self.users.start()
        await self._modes.start()
        await self.rooms.departures.resume()
        await self.rooms.delayed.start()
        await self._abroad.start()
        await self.e2ee.start()
        await self.media.start()
        await self.features.start()
        await self.im.start()
        await self.social.start()

    def begin_stopping(self) -> None:
        self.rooms.delayed.stop()
        self._abroad.stop()
        self.sync.polls.stop()
        self.realtime.begin_stopping()
        self.media.stop()
        self.im.begin_stopping()
        self.social.begin_stopping()

    async def stop(self) -> None:
        await self.features.stop()
        await self.users.stop()
        await self.e2ee.stop()
