"""How long a login lives."""

from __future__ import annotations

from dataclasses import dataclass

from config.schema import duration_ms, part, setting


@dataclass(frozen=True, kw_only=True, slots=True)
class LoginViaExistingSession:
    """Logging in another device from this one (`m.get_login_token`)."""

    enabled: bool = setting(True, "Whether it is offered.")
    require_ui_auth: bool = setting(True, "Whether the user must prove who they are again.")
    token_timeout_ms: int = duration_ms("2m", "How long the login token lives.", key="token_timeout")


@dataclass(frozen=True, kw_only=True, slots=True)
class UiAuthConfig:
    """Proving again who one is."""

    session_timeout_ms: int = duration_ms(
        "15s", "How long a proof may be used for the same kind of request.", key="session_timeout"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class TokensConfig:
    """Tokens: what has no length lives until logout."""

    session_lifetime_ms: int | None = duration_ms(
        None, "How long a login lives, however often it is refreshed.", key="session_lifetime"
    )
    refreshable_access_token_lifetime_ms: int = duration_ms(
        "5m", "How long an access token lives that can be refreshed.", key="refreshable_access_token_lifetime"
    )
    refresh_token_lifetime_ms: int | None = duration_ms(
        None, "How long a refresh token may lie unused.", key="refresh_token_lifetime"
    )
    nonrefreshable_access_token_lifetime_ms: int | None = duration_ms(
        None,
        "How long an access token lives that cannot be refreshed.",
        key="nonrefreshable_access_token_lifetime",
    )
    login_via_existing_session: LoginViaExistingSession = part(
        LoginViaExistingSession(), "Logging in another device from this one."
    )
    ui_auth: UiAuthConfig = part(UiAuthConfig(), "Proving again who one is.")
