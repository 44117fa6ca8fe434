"""Logging in through somebody else: OpenID Connect providers and signed tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from config.schema import part, required, secret, setting


@dataclass(frozen=True, kw_only=True, slots=True)
class UserMapping:
    """How a provider's claims become a user; templates are Jinja's, over `user`."""

    subject_claim: str = setting("sub", "The claim that names the user for ever.")
    localpart_template: str | None = setting(None, "The user's localpart; they choose it without it.")
    display_name_template: str | None = setting(None, "Their display name.")
    email_template: str | None = setting(None, "Their e-mail address.")
    picture_template: str | None = setting(None, "Their avatar's URL.")
    confirm_localpart: bool = setting(False, "Whether they may change the localpart first.")


@dataclass(frozen=True, kw_only=True, slots=True)
class UserMappingProvider:
    """Synapse's wrapping of `UserMapping`."""

    config: UserMapping = part(UserMapping(), "How claims become a user.")


@dataclass(frozen=True, kw_only=True, slots=True)
class AttributeRequirement:
    """A claim that a user must have."""

    attribute: str = required("The claim.")
    value: str | None = setting(None, "Its value; any, without it.")
    one_of: tuple[str, ...] = setting((), "Its possible values.")


@dataclass(frozen=True, kw_only=True, slots=True)
class OidcProvider:
    """A provider of OpenID Connect."""

    idp_id: str = required("Its name in URLs and in the database; it can never be changed.")
    idp_name: str = required("Its name for people.")
    idp_icon: str | None = setting(None, "Its icon, an `mxc://` URI.")
    idp_brand: str | None = setting(None, "Its brand, such as `github`; clients know some.")
    issuer: str = required("Its issuer URL.")
    client_id: str = required("Our name there.")
    client_secret: str | None = secret("Our secret there.")
    client_auth_method: Literal["client_secret_basic", "client_secret_post", "none"] = setting(
        "client_secret_basic", "How the secret is given."
    )
    discover: bool = setting(True, "Whether the provider's own metadata names its endpoints.")
    scopes: tuple[str, ...] = setting(("openid",), "What is asked for.")
    authorization_endpoint: str | None = setting(None, "Without discovery: where users log in.")
    token_endpoint: str | None = setting(None, "Without discovery: where codes are exchanged.")
    userinfo_endpoint: str | None = setting(None, "Without discovery: where claims are asked for.")
    jwks_uri: str | None = setting(None, "Without discovery: where its keys are.")
    pkce_method: Literal["auto", "always", "never"] = setting("auto", "Whether PKCE is used.")
    skip_verification: bool = setting(False, "Whether metadata over plain HTTP is accepted. For tests only.")
    user_profile_method: Literal["auto", "userinfo_endpoint"] = setting("auto", "Where claims come from.")
    allow_existing_users: bool = setting(False, "Whether a login may take an account of the same localpart.")
    enable_registration: bool = setting(True, "Whether a login may make an account.")
    update_profile_information: bool = setting(False, "Whether each login updates name and avatar.")
    backchannel_logout_enabled: bool = setting(False, "Whether the provider may end sessions here.")
    additional_authorization_parameters: Mapping[str, str] = setting(
        {}, "More parameters for the login page."
    )
    attribute_requirements: tuple[AttributeRequirement, ...] = setting((), "Claims that users must have.")
    user_mapping_provider: UserMappingProvider = part(UserMappingProvider(), "How claims become a user.")


@dataclass(frozen=True, kw_only=True, slots=True)
class SsoConfig:
    """What holds for every provider."""

    client_whitelist: tuple[str, ...] = setting(
        (), "Clients that get a login without a page that asks: prefixes of URLs, with a slash at the end."
    )
    update_profile_information: bool = setting(
        False, "Whether each login updates the display name and avatar."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class JwtConfig:
    """Logging in with a token that somebody else signed (`org.matrix.login.jwt`)."""

    enabled: bool = setting(False, "Whether it is offered.")
    secret: str | None = secret("The shared secret, or the public key (PEM).")
    algorithm: str = setting("HS256", "The signature's algorithm.")
    subject_claim: str = setting("sub", "The claim that is the localpart.")
    display_name_claim: str | None = setting(None, "The claim that is the display name.")
    issuer: str | None = setting(None, "What `iss` must be.")
    audiences: tuple[str, ...] = setting((), "One of which `aud` must be.")

    def __post_init__(self) -> None:
        if self.enabled and not self.secret:
            raise ValueError("secret must be set when it is enabled")


@dataclass(frozen=True, kw_only=True, slots=True)
class OAuthConfig:
    """The OAuth 2.0 server that is built in, for clients that log in by it (specification v1.15)."""

    enabled: bool = setting(True, "Whether it is offered beside the older ways of logging in.")
    allow_dynamic_registration: bool = setting(True, "Whether clients may register themselves.")
    device_grant: bool = setting(True, "Whether a device without a browser may log in by a code.")
    allow_legacy_login: bool = setting(True, "Whether `/login` and `/register` stay.")


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentityConfig:
    """Logging in through others."""

    oidc_providers: tuple[OidcProvider, ...] = setting((), "OpenID Connect providers.")
    sso: SsoConfig = part(SsoConfig(), "What holds for every provider.")
    jwt_config: JwtConfig = part(JwtConfig(), "Signed tokens.")
    oauth: OAuthConfig = part(OAuthConfig(), "The built-in OAuth 2.0 server.")
    default_identity_server: str | None = setting(None, "The identity server that clients are told of.")
    trusted_identity_servers: tuple[str, ...] = setting(
        (), "Identity servers that invitations by address may use."
    )

    def __post_init__(self) -> None:
        names = [provider.idp_id for provider in self.oidc_providers]
        if len(set(names)) != len(names):
            raise ValueError("oidc_providers: two providers have the same idp_id")
