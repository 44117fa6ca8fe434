"""What servers on the loopback prove themselves with, and whom they trust."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.harness.certificates import Authority


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: whom to trust, and what to show."""

    authority: Path
    chain: Path
    key: Path


def make_certificates(directory: Path) -> Certificates:
    """Found an authority, and have it vouch for `localhost` and its addresses."""
    made = Certificates(directory / "authority.pem", directory / "localhost.pem", directory / "localhost.key")
    authority = Authority()
    authority.write(made.authority)
    authority.write_certificate(made.chain, made.key, "localhost", "127.0.0.1", "::1")
    return made
