"""Writing a first configuration, with its keys and secrets."""

from __future__ import annotations

import os
import secrets
import string
from dataclasses import dataclass
from pathlib import Path

from config import ConfigError
from config.loading import parse_text
from homeserver.events.signatures import SigningKey, format_signing_key
from homeserver.ids import is_server_name
from homeserver.synctl.errors import Refused

TEMPLATE = """\
# The configuration of a Hearth homeserver. Every setting: docs/admin/configuration.md
# After a change: synctl check-config, then synctl restart.

# Stands in every user ID. It can never be changed.
server_name: {server_name}

# Where clients reach this server.
{public_baseurl}

listeners:
  - port: {port}
    # This machine only. For a reverse proxy on this machine, set x_forwarded: true.
    # Without a proxy: bind_addresses ['::', '0.0.0.0'], and tls: true with tls_certificate_path.
    bind_addresses: ['127.0.0.1', '::1']

database:
  name: sqlite3
  args:
    database: homeserver.db

signing_key_path: {key_file}

# Anybody who reaches the port above may make an account. Before you open it to the world, switch this off
# or ask for something: registration_requires_token, registrations_require_3pid...
enable_registration: true
enable_registration_without_verification: true

# With it, `synctl register-user` makes accounts.
registration_shared_secret: {registration_secret}
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operator asks for."""

    server_name: str
    data_dir: Path
    port: int


def generate(wanted: Wanted) -> Path:
    """Write a configuration, a signing key and secrets into a directory; the configuration's path.

    Raises:
        Refused: there is a configuration already, the name is none, or the directory cannot be written.
    """
    directory = wanted.data_dir
    path = directory / "homeserver.yaml"
    if not is_server_name(wanted.server_name):
        raise Refused(f"{wanted.server_name!r} is not a server name")
    key_file = f"{wanted.server_name.replace(':', '_').replace('[', '').replace(']', '')}.signing.key"
    text = _text(wanted, key_file)
    if path.exists():
        raise Refused(f"{path} exists already")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / key_file).exists():
            _write_private(directory / key_file, _new_key())
        _write_private(path, text)
    except OSError as error:
        raise Refused(f"cannot write to {directory}: {error.strerror}") from error
    return path


def _text(wanted: Wanted, key_file: str) -> str:
    is_local = wanted.server_name.partition(":")[0] == "localhost"
    text = TEMPLATE.format(
        server_name=f'"{wanted.server_name}"' if "[" in wanted.server_name else wanted.server_name,
        public_baseurl=(
            f"public_baseurl: http://localhost:{wanted.port}/"
            if is_local
            else f"# public_baseurl: https://{wanted.server_name}/"
        ),
        port=wanted.port,
        key_file=f'"{key_file}"',
        registration_secret=secrets.token_urlsafe(32),
    )
    try:
        parse_text(text, base=wanted.data_dir)
    except ConfigError as error:
        raise Refused(str(error)) from error
    return text


def _new_key() -> str:
    version = "a_" + "".join(secrets.choice(string.ascii_letters) for _ in range(4))
    return format_signing_key(SigningKey.of(version, secrets.token_bytes(32)))


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, and that was not there before."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text if text.endswith("\n") else text + "\n")
