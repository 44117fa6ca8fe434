"""Who may have an account, and what a new one starts with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from config.schema import duration_ms, part, required, secret, setting
from homeserver.errors import MatrixError
from homeserver.ids import parse_room_alias


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowedThreepid:
    """A rule for addresses that may be registered with."""

    medium: Literal["email", "msisdn"] = required("`email` or `msisdn`.")
    pattern: str = required("A regular expression that the whole address matches.")

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern is not a regular expression: {error}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoAcceptInvites:
    """Joining for the invited."""

    enabled: bool = setting(False, "Whether local users join by themselves what they are invited to.")
    only_for_direct_messages: bool = setting(False, "Only direct messages.")
    only_from_local_users: bool = setting(False, "Only when a local user invites.")


@dataclass(frozen=True, kw_only=True, slots=True)
class TermsConfig:
    """A document that new users must accept (`m.login.terms`)."""

    enabled: bool = setting(False, "Whether registration has the terms stage.")
    version: str = setting("1.0", "The document's version.")
    policy_name: str = setting("Terms and conditions", "The document's name.")
    url: str | None = setting(None, "Where the document is; it opens in the user's browser.")
    language: str = setting("en", "The document's language.")

    def __post_init__(self) -> None:
        if self.enabled and self.url is None:
            raise ValueError("url must be set when the terms are enabled")


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistrationConfig:
    """Registration: accounts, guests and addresses."""

    enable_registration: bool = setting(False, "Whether anybody may make an account.")
    enable_registration_without_verification: bool = setting(
        False, "Whether that may happen without an address, a captcha or a token. Open servers attract abuse."
    )
    registration_shared_secret: str | None = secret(
        "Whoever knows it may make accounts; `synctl register-user` does."
    )
    registration_requires_token: bool = setting(False, "Whether a registration token is needed.")
    registrations_require_3pid: tuple[Literal["email", "msisdn"], ...] = setting(
        (), "The addresses that must be given and proven."
    )
    allowed_local_3pids: tuple[AllowedThreepid, ...] = setting(
        (), "The addresses that may be used; all, if empty."
    )
    disable_msisdn_registration: bool = setting(
        False, "Whether registration never asks for a telephone number."
    )
    enable_registration_captcha: bool = setting(False, "Whether a captcha must be solved (reCAPTCHA).")
    recaptcha_public_key: str | None = setting(None, "The captcha's public key.")
    recaptcha_private_key: str | None = secret("The captcha's private key.")
    recaptcha_siteverify_api: str = setting(
        "https://www.recaptcha.net/recaptcha/api/siteverify", "Where answers to the captcha are checked."
    )
    user_consent: TermsConfig = part(TermsConfig(), "Terms to accept.")
    allow_guest_access: bool = setting(False, "Whether guests may look in, with accounts that need no name.")
    inhibit_user_in_use_error: bool = setting(
        False, "Whether registration hides which names are taken until it is almost done."
    )
    enable_set_displayname: bool = setting(True, "Whether users may change their display name.")
    enable_set_avatar_url: bool = setting(True, "Whether users may change their avatar.")
    enable_3pid_changes: bool = setting(True, "Whether users may add and remove e-mail addresses.")
    request_token_inhibit_3pid_errors: bool = setting(
        True, "Whether asking for a code hides whether an address is in use."
    )
    auto_join_rooms: tuple[str, ...] = setting((), "Aliases of rooms that new users join.")
    autocreate_auto_join_rooms: bool = setting(True, "Whether those are made when they are missing.")
    autocreate_auto_join_rooms_federated: bool = setting(True, "Whether other servers may join those.")
    autocreate_auto_join_room_preset: Literal["public_chat", "private_chat", "trusted_private_chat"] = (
        setting("public_chat", "What they are like.")
    )
    auto_join_mxid_localpart: str | None = setting(
        None, "Who makes and invites to them; the first user who registers otherwise."
    )
    auto_join_rooms_for_guests: bool = setting(True, "Whether guests join them too.")
    auto_accept_invites: AutoAcceptInvites = part(AutoAcceptInvites(), "Joining for the invited.")
    delete_stale_devices_after_ms: int | None = duration_ms(
        None,
        "How long a device may go unseen before it is logged out. Without it, for ever.",
        key="delete_stale_devices_after",
    )

    def __post_init__(self) -> None:
        for alias in self.auto_join_rooms:
            try:
                parse_room_alias(alias)
            except MatrixError as error:
                raise ValueError(f"auto_join_rooms: {error.error}") from error
        if self.autocreate_auto_join_room_preset != "public_chat" and self.auto_join_mxid_localpart is None:
            raise ValueError(
                "autocreate_auto_join_room_preset: somebody must invite to private rooms; "
                "set auto_join_mxid_localpart"
            )
        is_verified = (
            self.registration_requires_token
            or self.registrations_require_3pid
            or self.enable_registration_captcha
        )
        if self.enable_registration and not is_verified and not self.enable_registration_without_verification:
            raise ValueError(
                "enable_registration: nothing verifies who registers; set registration_requires_token, "
                "registrations_require_3pid, enable_registration_captcha or enable_registration_without_verification"
            )
