"""Accounts, built of their parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from config import Config
from homeserver.admin_api.register import SharedSecretRegistrationEndpoints
from homeserver.client_api.account import AccountEndpoints
from homeserver.client_api.account_data import AccountDataEndpoints
from homeserver.client_api.account_moderation import AccountModerationEndpoints
from homeserver.client_api.capabilities import CapabilityEndpoints, ServerCapabilities
from homeserver.client_api.devices import DeviceEndpoints
from homeserver.client_api.filters import FilterEndpoints
from homeserver.client_api.login import LoginEndpoints
from homeserver.client_api.login_page import LoginPageEndpoints
from homeserver.client_api.openid import OpenIDEndpoints
from homeserver.client_api.profile import ProfileEndpoints
from homeserver.client_api.push_rules import PushRuleEndpoints
from homeserver.client_api.register import RegisterEndpoints
from homeserver.client_api.tags import TagEndpoints
from homeserver.client_api.tokens import TokenEndpoints
from homeserver.client_api.uia import FallbackEndpoints
from homeserver.http.rate_limit import RateLimiter
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import Notifier
from homeserver.runtime.random import Randomness
from homeserver.runtime.tasks import Tasks
from homeserver.users.account_data import AccountData, Tags
from homeserver.users.account_moderation import AccountModeration
from homeserver.users.accounts import Accounts
from homeserver.users.appservice_identity import AppserviceDirectory, NoAppservices
from homeserver.users.authentication import Authenticator
from homeserver.users.deactivation import AccountCleanup, Deactivation, Unbinder
from homeserver.users.devices import (
    DeviceChange,
    DeviceCleanup,
    Devices,
    ReservedDeviceID,
    log_change,
    never_reserved,
)
from homeserver.users.filters import Filters
from homeserver.users.identifiers import Identifiers
from homeserver.users.interactive_auth import InteractiveAuth, Stage
from homeserver.users.last_seen import LastSeen
from homeserver.users.login import AppserviceLogin, Login, LoginMethod, PasswordLogin, TokenLogin
from homeserver.users.open_registration import OpenRegistration
from homeserver.users.password_attempts import PasswordAttempts
from homeserver.users.passwords import Executor, Passwords
from homeserver.users.profiles import AVATAR_URL, DISPLAY_NAME, Profiles, RemoteProfiles
from homeserver.users.push_rules import PushRules
from homeserver.users.registration import Registration
from homeserver.users.registration_policy import RegistrationPolicy, policies_of
from homeserver.users.registration_tokens import RegistrationTokens
from homeserver.users.session_events import SessionEvents
from homeserver.users.sessions import Sessions
from homeserver.users.short_tokens import ShortTokens
from homeserver.users.signed_tokens import Sliding, TokenSigner
from homeserver.users.stages import DummyStage, PasswordStage, RegistrationTokenStage, TermsStage
from homeserver.users.stale_devices import StaleDevices
from homeserver.users.usernames import Usernames
from storage.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class UserParts:
    """What accounts take from the layers around them; each default is for a server without that feature."""

    appservices: AppserviceDirectory = field(default_factory=NoAppservices)
    remote_profiles: RemoteProfiles | None = None
    device_cleanups: Sequence[DeviceCleanup] = ()
    account_cleanups: Sequence[AccountCleanup] = ()
    is_reserved_device_id: ReservedDeviceID = never_reserved
    device_changed: DeviceChange = log_change
    stages: Sequence[Stage] = ()
    login_methods: Sequence[LoginMethod] = ()
    unbinder: Unbinder | None = None


class Users:
    """The services of accounts; `handlers` are their endpoints."""

    def __init__(
        self,
        config: Config,
        db: Database,
        clock: Clock,
        notifier: Notifier,
        tasks: Tasks,
        randomness: Randomness,
        limiter: RateLimiter,
        executor: Executor,
        parts: UserParts,
    ) -> None:
        server_name = config.server.server_name
        self._config = config
        self.events = SessionEvents(notifier)
        self.last_seen = LastSeen(db, clock, tasks)
        self.devices = Devices(
            db,
            clock,
            self.last_seen,
            cleanups=parts.device_cleanups,
            is_reserved=parts.is_reserved_device_id,
            changed=parts.device_changed,
        )
        self.stale_devices = StaleDevices(
            db, clock, tasks, self.devices, config.registration.delete_stale_devices_after_ms
        )
        self.sessions = Sessions(db, clock, randomness, self.devices, config.tokens, _sliding(config))
        self.passwords = Passwords(executor, config.passwords, config.hashing)
        self.accounts = Accounts(db, self.passwords, self.sessions)
        self.identifiers = Identifiers(db, server_name)
        self.short_tokens = ShortTokens(
            db, clock, randomness, login_lifetime_ms=config.tokens.login_via_existing_session.token_timeout_ms
        )
        self.profiles = Profiles(
            db,
            server_name,
            parts.remote_profiles,
            require_auth=config.server.require_auth_for_profile_requests,
            limit_to_shared_rooms=config.server.limit_profile_requests_to_users_who_share_rooms,
            disallowed=_managed_fields(config),
        )
        self.account_data = AccountData(db)
        self.tags = Tags(db)
        self.push_rules = PushRules(db)
        self.filters = Filters(db)
        self.account_moderation = AccountModeration(self.accounts, server_name)
        self.deactivation = Deactivation(
            db, self.sessions, cleanups=parts.account_cleanups, unbinder=parts.unbinder
        )
        self.authenticator = Authenticator(
            db, clock, self.sessions, self.events, self.last_seen, parts.appservices
        )
        self.password_attempts = attempts = PasswordAttempts(self.accounts, limiter, clock)
        stages: list[Stage] = [
            PasswordStage(self.accounts, attempts, self.identifiers),
            DummyStage(),
            RegistrationTokenStage(db, clock),
            TermsStage(policies_of(config.registration.user_consent)),
            *parts.stages,
        ]
        self.interactive_auth = InteractiveAuth(
            db, clock, randomness, stages, reuse_ms=config.tokens.ui_auth.session_timeout_ms
        )
        self.policy = RegistrationPolicy.of(config.registration, self.interactive_auth.stages)
        self.usernames = Usernames(
            db,
            randomness,
            parts.appservices,
            server_name,
            hide_taken=config.registration.inhibit_user_in_use_error,
        )
        self.registration = Registration(db, clock, self.passwords, self.sessions, self.profiles)
        self.open_registration = OpenRegistration(
            self.registration,
            self.policy,
            self.usernames,
            self.interactive_auth,
            self.authenticator,
            parts.appservices,
        )
        self.registration_tokens = RegistrationTokens(db, clock, self.policy)
        self.login = Login(
            self.accounts,
            self.sessions,
            [
                PasswordLogin(attempts, self.identifiers, enabled=config.passwords.is_enabled),
                TokenLogin(
                    self.short_tokens, get_login_token=config.tokens.login_via_existing_session.enabled
                ),
                AppserviceLogin(parts.appservices, self.accounts, server_name),
                *parts.login_methods,
            ],
        )

    def start(self) -> None:
        """Begin what runs by itself."""
        self.stale_devices.start()

    async def stop(self) -> None:
        """End it, and write what is still in memory."""
        self.stale_devices.stop()
        await self.last_seen.flush()

    def handlers(self) -> list[object]:
        """The endpoints, for the router."""
        config = self._config
        capabilities = ServerCapabilities(
            config.rooms.default_room_version,
            change_password=config.passwords.is_enabled,
            threepid_changes=config.registration.enable_3pid_changes,
            get_login_token=config.tokens.login_via_existing_session.enabled,
            forget_forced_upon_leave=config.rooms.forget_rooms_on_leave,
        )
        well_known = {"m.homeserver": {"base_url": config.server.base_url}}
        has_legacy_login = config.identity.oauth.allow_legacy_login or not config.identity.oauth.enabled
        return [
            RegisterEndpoints(
                self.open_registration, self.registration_tokens, is_for_users=has_legacy_login
            ),
            SharedSecretRegistrationEndpoints(
                self.registration,
                self.usernames,
                self.short_tokens,
                secret=config.registration.registration_shared_secret,
            ),
            LoginEndpoints(
                self.login,
                self.interactive_auth,
                self.short_tokens,
                config.tokens.login_via_existing_session,
                well_known=well_known if config.server.public_baseurl else None,
                is_for_users=has_legacy_login,
            ),
            TokenEndpoints(self.sessions),
            DeviceEndpoints(self.devices, self.interactive_auth),
            AccountEndpoints(
                self.accounts,
                self.identifiers,
                self.deactivation,
                self.interactive_auth,
                may_change_password=config.passwords.is_enabled,
            ),
            AccountModerationEndpoints(self.account_moderation, self.devices),
            FallbackEndpoints(self.interactive_auth),
            LoginPageEndpoints(),
            ProfileEndpoints(self.profiles),
            AccountDataEndpoints(self.account_data, self.push_rules),
            TagEndpoints(self.tags),
            PushRuleEndpoints(self.push_rules),
            FilterEndpoints(self.filters),
            CapabilityEndpoints(capabilities, self.profiles, self.accounts),
            OpenIDEndpoints(self.short_tokens),
        ]


def _sliding(config: Config) -> Sliding:
    """The sessions of the IM API."""
    im = config.im
    signer = TokenSigner(im.jwt_secret) if im.signs_tokens and im.jwt_secret else None
    return Sliding(im.access_token_lifetime_ms, im.refresh_token_lifetime_ms, signer)


def _managed_fields(config: Config) -> frozenset[str]:
    """The profile fields that users may not change themselves."""
    settings: dict[str, Any] = {
        DISPLAY_NAME: config.registration.enable_set_displayname,
        AVATAR_URL: config.registration.enable_set_avatar_url,
    }
    return frozenset(name for name, is_allowed in settings.items() if not is_allowed)
