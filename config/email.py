"""Mail: how it leaves, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.schema import duration_ms, secret, setting


@dataclass(frozen=True, kw_only=True, slots=True)
class EmailConfig:
    """Mail: without `notif_from` no mail is sent, and nothing that needs it is offered."""

    smtp_host: str = setting("localhost", "The mail server.")
    smtp_port: int | None = setting(None, "Its port; 25, or 465 with `force_tls`.")
    smtp_user: str | None = setting(None, "The name to log in with.")
    smtp_pass: str | None = secret("The password to log in with.")
    force_tls: bool = setting(False, "Whether the connection begins with TLS.")
    require_transport_security: bool = setting(False, "Whether STARTTLS must succeed.")
    enable_tls: bool = setting(True, "Whether STARTTLS is used when it is offered.")
    tlsname: str | None = setting(None, "The name that the mail server's certificate must have.")
    notif_from: str | None = setting(
        None, "The sender, such as `Your %(app)s homeserver <noreply@example.org>`."
    )
    app_name: str = setting("Hearth", "How mails call this server.")
    enable_notifs: bool = setting(False, "Whether messages may be notified by mail.")
    notif_for_new_users: bool = setting(True, "Whether new users with an address get those at first.")
    notif_delay_before_mail_ms: int = duration_ms(
        "10m", "How long a message must be unread first.", key="notif_delay_before_mail"
    )
    client_base_url: str | None = setting(None, "The client that links in mails open; matrix.to by default.")
    validation_token_lifetime_ms: int = duration_ms(
        "1h", "How long the link or code in a mail works.", key="validation_token_lifetime"
    )
    invite_client_location: str | None = setting(None, "The client that invitations by mail open.")
    subjects: Mapping[str, str] = setting(
        {},
        "Subjects of mails, by Synapse's names, such as `password_reset: '%(server_name)s: new password'`.",
    )
    custom_template_directory: Path | None = setting(
        None, "Templates that replace the built-in ones of the same name.", kind="path"
    )

    @property
    def is_enabled(self) -> bool:
        return self.notif_from is not None

    @property
    def port(self) -> int:
        return self.smtp_port if self.smtp_port is not None else 465 if self.force_tls else 25
