"""How often somebody may ask. A rate is `per_second` in the long run and `burst_count` at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass

from config.schema import part, setting, size

# Classes of requests whose rate is another setting's.
_SAME_AS = {
    "joins": "joins_local",
    "redaction": "message",
    "create_room": "room_creation",
    "invites": "invites_per_issuer",
    "registration_availability": "registration_token_validity",
}
_COUNTED_BY_ADDRESS_TOO = ("im", "message", "search", "friend_requests", "media_create")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """One rate."""

    per_second: float = setting(1.0, "How many a second in the long run; 0 is without limit.")
    burst_count: int = setting(10, "How many at once.")

    def __post_init__(self) -> None:
        if self.per_second < 0 or self.burst_count < 1:
            raise ValueError("per_second must not be negative and burst_count at least 1")


def rate(per_second: float, burst_count: int) -> Rate:
    return Rate(per_second=per_second, burst_count=burst_count)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoginRates:
    """Logging in."""

    address: Rate = part(rate(0.5, 30), "For each client address.")
    account: Rate = part(rate(0.083, 10), "For each account.")
    failed_attempts: Rate = part(rate(0.17, 5), "Wrong passwords, for each account.")


@dataclass(frozen=True, kw_only=True, slots=True)
class JoinRates:
    """Joining rooms, for each user."""

    local: Rate = part(rate(1.0, 20), "Rooms that this server is in already.")
    remote: Rate = part(rate(0.1, 10), "Rooms that other servers must let us into.")


@dataclass(frozen=True, kw_only=True, slots=True)
class InviteRates:
    """Inviting."""

    per_room: Rate = part(rate(0.3, 10), "Invites to one room.")
    per_user: Rate = part(rate(0.3, 20), "Invites of one user.")
    per_issuer: Rate = part(rate(0.3, 10), "Invites by one user.")


@dataclass(frozen=True, kw_only=True, slots=True)
class PresenceRates:
    """Presence."""

    per_user: Rate = part(rate(0.1, 1), "Changes of presence written out, for each user.")


@dataclass(frozen=True, kw_only=True, slots=True)
class FederationRates:
    """What other servers ask and send, for each of them."""

    window_size: int = setting(1000, "The window, in milliseconds, in which requests are counted.")
    sleep_limit: int = setting(10, "How many of a window are served at once; later ones wait.")
    sleep_delay: int = setting(500, "How long, in milliseconds, those wait.")
    reject_limit: int = setting(50, "How many may wait; later ones are refused.")
    concurrent: int = setting(3, "How many requests of one server are worked on at once.")


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimitsConfig:
    """Rate limits: they are those of Synapse by name; the defaults let people live and robots not."""

    enable_rate_limits: bool = setting(True, "Whether there are any. Switch them off for benchmarks only.")
    rc_message: Rate = part(rate(10.0, 50), "Sending events, for each user.")
    rc_registration: Rate = part(rate(0.5, 20), "Registering, for each address.")
    rc_registration_token_validity: Rate = part(
        rate(0.1, 5), "Asking whether a token is valid, for each address."
    )
    rc_login: LoginRates = part(LoginRates(), "Logging in.")
    rc_admin_redaction: Rate | None = setting(
        None, "Redacting by room administrators; as `rc_message` without it."
    )
    rc_joins: JoinRates = part(JoinRates(), "Joining rooms.")
    rc_joins_per_room: Rate = part(rate(5.0, 50), "Joins of one room.")
    rc_invites: InviteRates = part(InviteRates(), "Inviting.")
    rc_third_party_invite: Rate = part(rate(0.2, 10), "Inviting by address, for each user.")
    rc_3pid_validation: Rate = part(rate(0.003, 5), "Asking for codes, for each address.")
    rc_media_create: Rate = part(rate(10.0, 50), "Reserving and uploading media, for each user.")
    rc_room_creation: Rate = part(rate(1.0, 20), "Making rooms, for each user.")
    rc_delayed_event_mgmt: Rate = part(rate(1.0, 5), "Acting on delayed events, for each user.")
    rc_reports: Rate = part(rate(1.0, 5), "Reporting, for each user.")
    rc_user_directory: Rate = part(rate(1.0, 20), "Searching users, for each user.")
    rc_search: Rate = part(rate(5.0, 10), "Searching messages, for each user.")
    rc_presence: PresenceRates = part(PresenceRates(), "Presence.")
    rc_friend_requests: Rate = part(rate(30 / 86_400, 30), "Friend requests (`/im/v1`), for each user.")
    rc_email_code: Rate = part(
        rate(1 / 60, 1), "Asking for e-mail codes (`/im/v1`), for each client address."
    )
    rc_email_code_per_day: Rate = part(
        rate(10 / 86_400, 10), "E-mail codes (`/im/v1`) to one e-mail address: ten a day."
    )
    rc_im_login: Rate = part(rate(5 / 60, 5), "Logging in by `/im/v1`, for each client address.")
    rc_im: Rate = part(rate(20.0, 100), "Every other call under `/im/v1`, for each user.")
    rc_im_users_per_address: int = setting(
        10, "How many users' worth of calls under `/im/v1` one client address may make."
    )
    rc_other: Rate = part(rate(20.0, 100), "Every other limited call, for each user or address.")
    rc_federation: FederationRates = part(
        FederationRates(), "What other servers ask and send, for each of them."
    )
    federation_rr_transactions_per_room_per_second: int = setting(
        50, "How many read receipts of one room are told to other servers in a second."
    )
    remote_media_download_per_second: int = size(
        "87K", "How much media of other servers one address may fetch."
    )
    remote_media_download_burst_count: int = size("500M", "The same, at once.")

    def __post_init__(self) -> None:
        if self.rc_im_users_per_address < 1:
            raise ValueError("rc_im_users_per_address must be at least 1")

    def classes(self) -> dict[str, Rate]:
        """Each rate under the name that endpoints give: `message`, `login_address`, `joins_local`..."""
        if not self.enable_rate_limits:
            return {}
        found = dict(_named(self, ""))
        found.setdefault("admin_redaction", self.rc_message)
        many = self.rc_im_users_per_address
        for name in _COUNTED_BY_ADDRESS_TOO:
            one = found[name]
            found[f"{name}_address"] = rate(one.per_second * many, one.burst_count * many)
        return found | {name: found[setting_name] for name, setting_name in _SAME_AS.items()}


def _named(section: object, prefix: str) -> Iterator[tuple[str, Rate]]:
    assert is_dataclass(section)
    for one in fields(section):
        value = getattr(section, one.name)
        name = prefix + one.name.removeprefix("rc_")
        if isinstance(value, Rate):
            yield name, value
        elif is_dataclass(value) and not isinstance(value, FederationRates):
            yield from _named(value, f"{name}_")
