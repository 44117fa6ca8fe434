"""Accounts, users and presence of the IM API, built of their parts."""

from __future__ import annotations

from config import Config
from homeserver.app.im import ImServices
from homeserver.app.mail import Mail
from homeserver.app.surroundings import Surroundings
from homeserver.app.users import Users
from homeserver.http.rate_limit import RateLimiter
from homeserver.http.route_cache import RouteCache
from homeserver.im.account_keeping import AccountKeeping
from homeserver.im.administration import GroupAdministration, UserAdministration
from homeserver.im.group_dissolution import GroupDissolution
from homeserver.im.groups import Groups
from homeserver.im.presence import OwnPresence
from homeserver.im.settings import Settings
from homeserver.im.signing_in import SigningIn, SigningUp
from homeserver.im.users import PublicProfiles, Relations, UserSearch
from homeserver.im_api.accounts import AccountEndpoints, SessionEndpoints
from homeserver.im_api.admin import AdminEndpoints
from homeserver.im_api.presence import ImPresenceEndpoints
from homeserver.im_api.users import OwnUserEndpoints, UserEndpoints
from homeserver.presence.presence import Presence
from homeserver.rooms.user_directory import UserDirectory


class ImAccountServices:
    """Who one is, and who others are."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        users: Users,
        mail: Mail,
        im: ImServices,
        presence: Presence,
        limiter: RateLimiter,
        cache: RouteCache,
    ) -> None:
        db = surroundings.database
        signing_up = SigningUp(
            users.open_registration,
            users.identifiers,
            mail.codes,
            surroundings.clock,
            limiter,
            config.registration.allowed_local_3pids,
        )
        signing_in = SigningIn(
            users.login, users.sessions, users.accounts, users.identifiers, mail.codes, users.short_tokens
        )
        keeping = AccountKeeping(
            users.accounts,
            users.password_attempts,
            signing_in,
            users.deactivation,
            mail.threepids,
            may_change_password=config.passwords.is_enabled,
        )
        profiles = PublicProfiles(users.profiles, config.server.server_name)
        self.relations = Relations(db, im.follower, im.people)
        directory = UserDirectory(db, config.directory.user_directory)
        search = UserSearch(db, directory, users.identifiers, profiles, self.relations)
        self._db, self._server_name = db, config.server.server_name
        self._administration = UserAdministration(
            db, surroundings.clock, users.account_moderation, users.deactivation, profiles
        )
        self.own_presence = OwnPresence(im.own, presence)
        self._handlers: list[object] = [
            AccountEndpoints(signing_up, signing_in, keeping, mail.codes.rules),
            SessionEndpoints(users.sessions, users.devices),
            OwnUserEndpoints(profiles, mail.threepids, keeping, Settings(db, im.own), presence),
            UserEndpoints(profiles, search, self.relations, cache),
            ImPresenceEndpoints(self.own_presence, self.relations),
        ]

    def administration(self, groups: Groups, dissolution: GroupDissolution) -> AdminEndpoints:
        """The endpoints of administrators, who act on accounts and on groups."""
        return AdminEndpoints(
            self._administration, GroupAdministration(self._db, groups, dissolution, self._server_name)
        )

    def handlers(self) -> list[object]:
        return self._handlers
