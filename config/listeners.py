"""Where the server listens."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from config.schema import setting


def parse_proxy(value: object) -> str:
    """An address or network of a reverse proxy, or `unix`.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str):
        raise ValueError("must be an address or a network such as 10.0.0.0/8")
    if value != "unix":
        try:
            ip_network(value, strict=False)
        except ValueError as error:
            raise ValueError("must be an address or a network such as 10.0.0.0/8, or unix") from error
    return value


def parse_mode(value: object) -> int:
    """A file mode, octal as in Synapse: `666`, `0o660` or `"660"`.

    Raises:
        ValueError: it is none.
    """
    text = (
        oct(value)
        if isinstance(value, int) and value & ~0o777 == 0 and value not in {666, 660, 600, 777}
        else value
    )
    try:
        return int(str(text).removeprefix("0o"), 8)
    except ValueError as error:
        raise ValueError("must be a file mode such as 660") from error


Family = Literal[
    "client", "federation", "media", "keys", "metrics", "health", "admin", "im", "static", "consent", "openid"
]


@dataclass(frozen=True, kw_only=True, slots=True)
class ListenerResource:
    """A group of endpoints."""

    names: tuple[Family, ...] = setting((), "Which: those of Synapse, and `admin` and `im`.")
    compress: bool = setting(False, "Whether large answers are compressed for clients that accept it.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """One port or Unix socket."""

    port: int | None = setting(None, "The TCP port.")
    bind_addresses: tuple[str, ...] = setting(
        ("::", "0.0.0.0"),  # noqa: S104 - the default of every server; the generated file says 127.0.0.1
        "The addresses to listen on. A family that the machine does not have is left out.",
    )
    path: Path | None = setting(None, "A Unix socket instead of a port.", kind="path")
    mode: int = setting(0o666, "The Unix socket's file mode.", kind="octal", shown="666", parse=parse_mode)
    type: Literal["http", "metrics"] = setting("http", "`metrics` serves nothing but Prometheus metrics.")
    tls: bool = setting(False, "Whether the port speaks TLS, with `tls_certificate_path`.")
    x_forwarded: bool = setting(
        False, "Whether a reverse proxy stands before this listener and names the client."
    )
    trusted_proxies: tuple[str, ...] = setting(
        ("127.0.0.1", "::1", "unix"),
        "The proxies that are believed: addresses, networks or `unix`. Only used with `x_forwarded`.",
        kind="list of addresses",
        parse=parse_proxy,
    )
    request_id_header: str | None = setting(
        None, "A header in which the proxy names each request, for the log."
    )
    resources: tuple[ListenerResource, ...] = setting(
        (), "What is served here; everything, if nothing is listed."
    )
    tag: str | None = setting(None, "The listener's name in the log; its port otherwise.")

    def __post_init__(self) -> None:
        if (self.port is None) == (self.path is None):
            raise ValueError("a listener has either a port or a path")
        if self.port is not None and not 0 <= self.port <= 65535:
            raise ValueError(f"port {self.port} is not between 1 and 65535")

    @property
    def name(self) -> str:
        return self.tag or str(self.port if self.path is None else self.path.name)

    @property
    def families(self) -> frozenset[str]:
        """What is served here; empty is everything."""
        return frozenset(name for resource in self.resources for name in resource.names)

    @property
    def compresses(self) -> bool:
        return any(resource.compress for resource in self.resources)

    @property
    def proxies(self) -> tuple[str, ...]:
        """The proxies whose word is taken."""
        return self.trusted_proxies if self.x_forwarded else ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ListenersConfig:
    """Listeners."""

    listeners: tuple[Listener, ...] = setting(
        (Listener(port=8008, bind_addresses=("127.0.0.1", "::1")),),
        "The ports and sockets to listen on.",
        shown="port 8008 on 127.0.0.1 and ::1",
    )
    tls_certificate_path: Path | None = setting(
        None, "The certificate chain (PEM) of listeners with `tls`. It is read again on SIGHUP.", kind="path"
    )
    tls_private_key_path: Path | None = setting(None, "The certificate's private key (PEM).", kind="path")

    def __post_init__(self) -> None:
        if any(one.tls for one in self.listeners) and None in {
            self.tls_certificate_path,
            self.tls_private_key_path,
        }:
            raise ValueError(
                "tls_certificate_path, tls_private_key_path: both must be set for a listener with tls"
            )
