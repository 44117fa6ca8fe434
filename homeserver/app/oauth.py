"""The built-in OAuth 2.0 server, built of its parts."""

from __future__ import annotations

from dataclasses import replace

from config import Config
from homeserver.app.surroundings import Surroundings
from homeserver.app.users import UserParts, Users
from homeserver.client_api.account_page import AccountPages
from homeserver.client_api.oauth import OAuthEndpoints, OAuthMetadataEndpoints
from homeserver.client_api.oauth_pages import AuthorizationPages, LinkPages, LoginPages
from homeserver.client_api.pages import Cookies
from homeserver.client_api.sign_up_page import SignUpPages
from homeserver.client_api.sso import SsoEndpoints
from homeserver.client_api.upstream_pages import CALLBACK, UpstreamPages
from homeserver.http.client import OutboundHttp
from homeserver.http.gate.addresses import AddressPolicy
from homeserver.http.gate.fetching import Fetcher
from homeserver.http.gate.tls import Trust
from homeserver.users.login import PasswordLogin, SsoFlow
from homeserver.users.oauth.authorization import Authorizations
from homeserver.users.oauth.browsers import Browsers
from homeserver.users.oauth.clients import Clients
from homeserver.users.oauth.device_grant import DeviceGrants
from homeserver.users.oauth.self_service import SelfService
from homeserver.users.oauth.sign_up import SignUp
from homeserver.users.oauth.stage import OAUTH, UNSTABLE_OAUTH, Confirmations, OAuthStage
from homeserver.users.oauth.tokens import OAuthTokens, forget_account, forget_device
from homeserver.users.upstream.logins import UpstreamLogins
from homeserver.users.upstream.provider import UpstreamProvider


def with_oauth(parts: UserParts, config: Config) -> UserParts:
    """What accounts need to know of OAuth, beside what they know already."""
    providers = config.identity.oidc_providers
    if providers or config.identity.oauth.enabled:
        flow = SsoFlow(providers, is_preferred=config.identity.oauth.enabled)
        parts = replace(parts, login_methods=[*parts.login_methods, flow])
    if not config.identity.oauth.enabled:
        return parts
    base_url = config.server.base_url
    return replace(
        parts,
        stages=[*parts.stages, OAuthStage(base_url, OAUTH), OAuthStage(base_url, UNSTABLE_OAUTH)],
        device_cleanups=[*parts.device_cleanups, forget_device],
        account_cleanups=[*parts.account_cleanups, forget_account],
    )


def upstream_providers(config: Config, surroundings: Surroundings) -> list[UpstreamProvider]:
    """The upstream providers; their addresses are the operator's, so any may be reached."""
    if surroundings.network is None:
        return []
    trust = Trust(config.federation.federation_custom_ca_list)
    fetcher = Fetcher(surroundings.network, surroundings.clock, AddressPolicy(()), trust)
    http = OutboundHttp(fetcher, surroundings.clock)
    redirect_uri = f"{config.server.base_url}{CALLBACK}"
    return [
        UpstreamProvider(one, http, surroundings.clock, redirect_uri=redirect_uri)
        for one in config.identity.oidc_providers
    ]


class OAuth:
    """Its services; `handlers` are its endpoints and pages."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        users: Users,
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
        upstream = [(one.idp_id, one.idp_name) for one in config.identity.oidc_providers]
        self.confirmations = Confirmations(db)
        service = SelfService(
            users.accounts, users.devices, users.profiles, users.deactivation, users.password_attempts
        )
        consent = config.registration.user_consent
        sign_up = SignUp(users.open_registration, users.policy, [(consent.policy_name, consent.url or "")])
        self._pages: list[object] = [
            SignUpPages(sign_up, self.browsers, self.cookies),
            LoginPages(
                self.browsers,
                self.cookies,
                has_password=config.passwords.is_enabled,
                has_registration=sign_up.is_open,
                providers=upstream,
            ),
            AccountPages(service, self.confirmations, self.cookies),
            SsoEndpoints(
                self.cookies,
                users.short_tokens,
                trusted=config.identity.sso.client_whitelist,
                providers=[idp_id for idp_id, _ in upstream],
            ),
        ]
        logins = UpstreamLogins(
            db,
            clock,
            randomness,
            users.registration,
            users.usernames,
            upstream_providers(config, surroundings),
        )
        self._pages.append(UpstreamPages(logins, self.browsers, self.cookies))
        self._handlers: list[object] = [
            OAuthMetadataEndpoints(base_url, device_grant=section.device_grant, registration=sign_up.is_open),
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
