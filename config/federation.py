"""Other servers: whom to speak to, how patiently, and whose word counts about keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from config.policy_server import PolicyServerConfig
from config.schema import duration_ms, part, required, setting
from config.server import parse_name
from homeserver.ids import ServerName

PRIVATE_NETWORKS = (
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "192.0.0.0/24",
    "169.254.0.0/16", "192.88.99.0/24", "198.18.0.0/15", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32", "0.0.0.0/8", "::/128", "::1/128", "fe80::/10",
    "fc00::/7", "2001:db8::/32", "ff00::/8", "fec0::/10",
)  # fmt: skip
"""Addresses that no other server should make us call."""


def parse_network(value: object) -> str:
    """An address or a network.

    Raises:
        ValueError: it is neither.
    """
    if not isinstance(value, str):
        raise ValueError("must be an address or a network such as 10.0.0.0/8")
    try:
        return str(ip_network(value, strict=False))
    except ValueError as error:
        raise ValueError("must be an address or a network such as 10.0.0.0/8") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class OldSigningKey:
    """A key that this server once signed with."""

    key: str = required("The public key, unpadded base64.")
    expired_ts: int = required("When it was last used, in milliseconds since 1970.")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustedKeyServer:
    """A server that is asked for the keys of others."""

    server_name: ServerName = required("Its name.", kind="server name", parse=parse_name)
    verify_keys: Mapping[str, str] = setting(
        {}, "Its keys, by key ID. Without them, its certificate is what vouches for it."
    )
    accept_keys_insecurely: bool = setting(False, "Accepted for Synapse's sake; keys are always checked.")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeysConfig:
    """Signing keys: those of this server, and how it learns those of others."""

    signing_key_path: Path = setting(
        Path("homeserver.signing.key"), "The file of the signing key.", kind="path"
    )
    old_signing_keys: Mapping[str, OldSigningKey] = setting({}, "Keys of the past, by key ID.")
    key_refresh_interval_ms: int = duration_ms(
        "1d", "How long others may rely on our published keys.", key="key_refresh_interval"
    )
    trusted_key_servers: tuple[TrustedKeyServer, ...] = setting(
        (TrustedKeyServer(server_name=ServerName("matrix.org")),),
        "Servers that are asked for keys when their owner does not answer.",
        shown="matrix.org",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class FederationClientConfig:
    """Patience with other servers."""

    client_timeout_ms: int = duration_ms("60s", "How long a request may take.", key="client_timeout")
    max_short_retries: int = setting(3, "How often a request that a user waits for is tried again.")
    max_short_retry_delay_ms: int = duration_ms(
        "2s", "The longest wait between those.", key="max_short_retry_delay"
    )
    max_long_retries: int = setting(10, "How often any other request is tried again.")
    max_long_retry_delay_ms: int = duration_ms(
        "60s", "The longest wait between those.", key="max_long_retry_delay"
    )
    destination_min_retry_interval_ms: int = duration_ms(
        "10s", "How long a server that failed is left alone, at first.", key="destination_min_retry_interval"
    )
    destination_retry_multiplier: float = setting(2.0, "How much longer each time.")
    destination_max_retry_interval_ms: int = duration_ms(
        "1d", "And at most.", key="destination_max_retry_interval"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class FederationConfig:
    """Federation: other servers, and every request that leaves this one."""

    federation_domain_whitelist: tuple[ServerName, ...] | None = setting(
        None,
        "The only servers to speak with. Without it, all; an empty list is none.",
        kind="list of server names",
        parse=parse_name,
    )
    federation_domain_blacklist: tuple[ServerName, ...] = setting(
        (),
        "Servers never to speak with.",
        kind="list of server names",
        parse=parse_name,
    )
    ip_range_blacklist: tuple[str, ...] = setting(
        PRIVATE_NETWORKS,
        "Networks that no request on somebody's behalf may reach: federation, previews, pushers. "
        "It is checked after DNS and at every redirect.",
        kind="list of networks",
        shown="every private and reserved network",
        parse=parse_network,
    )
    ip_range_whitelist: tuple[str, ...] = setting(
        (),
        "Exceptions from it.",
        kind="list of networks",
        parse=parse_network,
    )
    federation_verify_certificates: bool = setting(
        True, "Whether certificates of other servers are verified."
    )
    federation_certificate_verification_whitelist: tuple[str, ...] = setting(
        (), "Servers whose certificate is not, `*.example.org` among them."
    )
    federation_client_minimum_tls_version: Literal["1.2", "1.3"] = setting(
        "1.2", "The oldest TLS that is spoken."
    )
    federation_custom_ca_list: tuple[Path, ...] = setting(
        (), "Certificates (PEM) of authorities to trust, instead of the system's.", kind="list of paths"
    )
    allow_profile_lookup_over_federation: bool = setting(True, "Whether other servers may ask for profiles.")
    allow_device_name_lookup_over_federation: bool = setting(
        False, "Whether other servers are told the names of devices."
    )
    omit_members_from: int = setting(
        50, "From how many members on a room's member list follows later, when another server joins it."
    )
    federation_metrics_domains: tuple[str, ...] = setting((), "Servers that have metrics of their own.")
    policy_server: PolicyServerConfig = part(
        PolicyServerConfig(), "This server as the policy server of rooms that name it."
    )
    federation: FederationClientConfig = part(FederationClientConfig(), "Patience with other servers.")
    http_proxy: str | None = setting(None, "An HTTP proxy for requests that leave this server.")
