"""The server's certificate and its renewal."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ServerFactory

from homeserver.http.listeners import listen_tcp
from homeserver.http.tls import ReloadingCertificate
from tests.conftest import Logged


def write_certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1))  # noqa: DTZ001  # X.509 has no time zones
        .not_valid_after(datetime(2100, 1, 1))  # noqa: DTZ001  # as above
        .sign(key, hashes.SHA256())
    )
    chain_path, key_path = directory / "chain.pem", directory / "key.pem"
    chain_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return chain_path, key_path


def shake_hands(certificate: ReloadingCertificate) -> SSL.Connection:
    """A client's side of a TLS connection to the server."""
    server = certificate.serverConnectionForTLS(None)
    server.set_accept_state()
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_alpn_protos([b"h2", b"http/1.1"])
    client = SSL.Connection(context, None)
    client.set_connect_state()
    for _ in range(5):
        for one, other in ((client, server), (server, client)):
            with suppress(SSL.WantReadError):
                one.do_handshake()
            with suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(100_000))
    return client


def name_of(connection: SSL.Connection) -> str:
    certificate = connection.get_peer_certificate()
    assert certificate is not None
    name = certificate.to_cryptography().subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return str(name)


def test_a_renewed_certificate_is_shown_to_new_clients(tmp_path: Path) -> None:
    certificate = ReloadingCertificate(*write_certificate(tmp_path, "one.test"))
    first = shake_hands(certificate)
    assert name_of(first) == "one.test"
    assert first.get_alpn_proto_negotiated() == b"http/1.1"
    write_certificate(tmp_path, "two.test")
    assert name_of(shake_hands(certificate)) == "one.test"
    assert certificate.reload()
    assert name_of(shake_hands(certificate)) == "two.test"


@pytest.mark.parametrize("damage", ["no chain", "no certificate", "another key"])
def test_a_bad_renewal_keeps_the_old_certificate(tmp_path: Path, damage: str, logged: Logged) -> None:
    logged.expect_errors()
    chain, key = write_certificate(tmp_path, "one.test")
    certificate = ReloadingCertificate(chain, key)
    if damage == "no chain":
        chain.unlink()
    elif damage == "no certificate":
        chain.write_text("-----BEGIN NONSENSE-----")
    else:
        old = chain.read_bytes()
        write_certificate(tmp_path, "two.test")
        chain.write_bytes(old)
    assert not certificate.reload()
    assert name_of(shake_hands(certificate)) == "one.test"
    assert logged.errors


def test_a_bad_certificate_is_an_error_at_start(tmp_path: Path) -> None:
    chain, key = write_certificate(tmp_path, "one.test")
    chain.write_text("")
    with pytest.raises(SSL.Error):
        ReloadingCertificate(chain, key)
    with pytest.raises(SSL.Error):
        ReloadingCertificate(*reversed(write_certificate(tmp_path, "one.test")))


class Machine:
    """Refuses to listen on some addresses."""

    def __init__(self, refused: dict[str, int]) -> None:
        self._refused = refused
        self.listening: list[str] = []

    def listenTCP(self, port: int, factory: Any, backlog: int, interface: str) -> Any:  # noqa: N802  # Twisted's
        if interface in self._refused:
            raise CannotListenError(interface, port, OSError(self._refused[interface], "no"))
        self.listening.append(interface)
        return _Port(interface)


class _Port(NamedTuple):
    interface: str

    def getHost(self) -> IPv4Address:  # Twisted's name
        return IPv4Address("TCP", self.interface, 8008)

    def stopListening(self) -> None:  # noqa: N802  # Twisted's name
        """Nobody asks."""


def test_addresses_that_the_machine_lacks_are_left_out() -> None:
    no_such_family = 97
    machine = Machine({"::": no_such_family})
    listen_tcp(machine, ServerFactory(), port=8008, addresses=("::", "127.0.0.1"))
    assert machine.listening == ["127.0.0.1"]
    with pytest.raises(CannotListenError):
        listen_tcp(machine, ServerFactory(), port=8008, addresses=("::",))


def test_a_port_in_use_is_an_error() -> None:
    in_use = 98
    with pytest.raises(CannotListenError):
        listen_tcp(Machine({"127.0.0.1": in_use}), ServerFactory(), port=8008, addresses=("::", "127.0.0.1"))
    # The IPv6 wildcard has taken IPv4 along.
    assert (
        len(listen_tcp(Machine({"0.0.0.0": in_use}), ServerFactory(), port=1, addresses=("::", "0.0.0.0")))
        == 1
    )
