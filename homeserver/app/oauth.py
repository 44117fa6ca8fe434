"""The built-in OAuth 2.0 server, built of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from config import Config
from homeserver.app.surroundings import Surroundings
from homeserver.app.users import UserParts, Users
from homeserver.client_api.account_page import AccountPages
from homeserver.client_api.oauth import OAuthEndpoints, OAuthMetadataEndpoints
from homeserver.client_api.oauth_pages import AuthorizationPages, LinkPages, LoginPages
from homeserver.client_api.pages import Cookies
from homeserver.client_api.sso import SsoEndpoints
from homeserver.users.login import PasswordLogin
from homeserver.users.oauth.authorization import Authorizations
from homeserver.users.oauth.browsers import Browsers
from homeserver.users.oauth.clients import Clients
from homeserver.users.oauth.device_grant import DeviceGrants
from homeserver.users.oauth.self_service import SelfService
from homeserver.users.oauth.stage import OAUTH, UNSTABLE_OAUTH, Confirmations, OAuthStage
from homeserver.users.oauth.tokens import OAuthTokens, forget_account, forget_device


def with_oauth(parts: UserParts, config: Config) -> UserParts:
    """What accounts need to know of OAuth, beside what they know already."""
    if not config.identity.oauth.enabled:
        return parts
    base_url = config.server.base_url
    return replace(
        parts,
        stages=[*parts.stages, OAuthStage(base_url, OAUTH), OAuthStage(base_url, UNSTABLE_OAUTH)],
        device_cleanups=[*parts.device_cleanups, forget_device],
        account_cleanups=[*parts.account_cleanups, forget_account],
    )


class OAuth:
    """Its services; `handlers` are its endpoints and pages."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        users: Users,
        *,
        providers: Sequence[tuple[str, str]] = (),
    ) -> None:
        db, clock, randomness = surroundings.database, surroundings.clock, surroundings.randomness
        section, base_url = config.identity.oauth, config.server.base_url
        self.clients = Clients(db, clock, randomness)
        self.tokens = OAuthTokens(db, clock, users.sessions, users.devices, self.clients)
        self.authorizations = Authorizations(db, clock, randomness, self.clients)
        self.device_grants = DeviceGrants(db, clock, randomness, self.clients)
        password = PasswordLogin(
            users.password_attempts, users.identifiers, enabled=config.passwords.is_enabled
        )
        self.browsers = Browsers(db, clock, randomness, password)
        self.cookies = Cookies(self.browsers, base_url)
        self.confirmations = Confirmations(db)
        service = SelfService(
            users.accounts, users.devices, users.profiles, users.deactivation, users.password_attempts
        )
        self._pages: list[object] = [
            LoginPages(
                self.browsers,
                self.cookies,
                has_password=config.passwords.is_enabled,
                has_registration=False,
                providers=providers,
            ),
            AccountPages(service, self.confirmations, self.cookies),
            SsoEndpoints(self.cookies, users.short_tokens, trusted=config.identity.sso.client_whitelist),
        ]
        self._handlers: list[object] = [
            OAuthMetadataEndpoints(base_url, device_grant=section.device_grant, registration=False),
            OAuthEndpoints(
                self.clients,
                self.tokens,
                self.device_grants,
                base_url,
                device_grant=section.device_grant,
                may_register=section.allow_dynamic_registration,
            ),
            AuthorizationPages(self.authorizations, self.cookies),
            LinkPages(self.device_grants, self.cookies),
        ]
        self._is_enabled = section.enabled

    def handlers(self) -> list[object]:
        """The endpoints, for the router; where OAuth is switched off, single sign-on still needs the pages."""
        return [*self._pages, *self._handlers] if self._is_enabled else self._pages
