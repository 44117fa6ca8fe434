"""Who this server is, and what it lets be seen of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from config.schema import required, secret, setting
from homeserver.errors import MatrixError
from homeserver.ids import ServerName, parse_server_name


def parse_name(value: object) -> ServerName:
    """A server name, as settings give it.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str):
        raise ValueError("must be a server name such as example.org")
    try:
        return parse_server_name(value)
    except MatrixError as error:
        raise ValueError(error.error) from error


def parse_base_url(value: object) -> str:
    """An http or https URL, without the slash at its end.

    Raises:
        ValueError: it is none.
    """
    if (
        not isinstance(value, str)
        or not value.startswith(("http://", "https://"))
        or "?" in value
        or "#" in value
    ):
        raise ValueError("must be a URL such as https://matrix.example.org/")
    return value.rstrip("/")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """Server."""

    server_name: ServerName = required(
        "The name that stands in every user ID and alias of this server. It can never be changed.",
        kind="server name",
        parse=parse_name,
    )
    public_baseurl: str | None = setting(
        None,
        "Where clients reach this server. Without it, links and well-known answers use `https://<server_name>`.",
        kind="URL",
        parse=parse_base_url,
    )
    pid_file: Path = setting(Path("homeserver.pid"), "Where synctl keeps the process id.", kind="path")
    admin_contact: str | None = setting(
        None,
        "How to reach the administrator, such as `mailto:admin@example.org`; told to users who are refused.",
    )
    allow_public_rooms_without_auth: bool = setting(
        False, "Whether the public room directory is readable without an access token."
    )
    allow_public_rooms_over_federation: bool = setting(
        False, "Whether other servers may read the public room directory."
    )
    require_auth_for_profile_requests: bool = setting(
        False, "Whether profiles are only shown to logged-in users."
    )
    limit_profile_requests_to_users_who_share_rooms: bool = setting(
        False, "Whether profiles are only shown to users who share a room with their owner."
    )
    enable_metrics: bool = setting(False, "Whether Prometheus metrics are served, at `/_synapse/metrics`.")
    cluster_secret: str | None = secret(
        "What the processes of one server prove to each other. Needed when there is more than one."
    )

    @property
    def base_url(self) -> str:
        """Where clients reach this server, without the slash at the end."""
        return self.public_baseurl or f"https://{self.server_name}"
