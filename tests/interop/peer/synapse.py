"""Synapse, installed from PyPI into an environment of its own and run as one process on SQLite."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import yaml

from homeserver.events.signatures import SigningKey, format_signing_key
from tests.harness.configuration import SHARED_SECRET
from tests.harness.process import ServerProcess, free_port
from tests.interop.peer.certificates import Certificates

REQUIREMENT = os.environ.get("HEARTH_PEER_SYNAPSE", "matrix-synapse==1.163.2")
CACHE = Path(__file__).parents[3] / ".cache" / "synapse"
INSTALLS_WITHIN_S = 500
UNLIMITED = {"per_second": 100_000, "burst_count": 100_000}


def installed_synapse() -> Path:
    """The Python that has Synapse; it is installed on first use, by one test process while the others wait.

    Raises:
        AssertionError: it cannot be installed; pip's words are in the message.
    """
    key = hashlib.sha256(f"{REQUIREMENT} {sys.version}".encode()).hexdigest()[:16]
    place = CACHE / key
    python = place / "bin" / "python"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (place / "complete").exists():
            return python
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, with_pip=True)
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT],
            capture_output=True,
            check=False,
            text=True,
            timeout=INSTALLS_WITHIN_S,
        )
        if done.returncode != 0:
            shutil.rmtree(place)
        assert done.returncode == 0, f"{REQUIREMENT} cannot be installed:\n{done.stdout}\n{done.stderr}"
        (place / "complete").touch()
    return python


class SynapseProcess(ServerProcess):
    """A Synapse with all limits off, which tries again within a second whatever failed."""

    starts_within_s = 90.0

    def __init__(self, directory: Path, certificates: Certificates, python: Path) -> None:
        self._python = python
        self._federation_port = free_port()
        self._certificates = certificates
        super().__init__(directory, server_name=f"127.0.0.1:{self._federation_port}")

    def version(self) -> str:
        """What it says that it is."""
        status, answer = self.request("GET", "/_matrix/federation/v1/version")
        assert status == 200
        return f"{answer['server']['name']} {answer['server']['version']}"

    def _command(self) -> list[str]:
        return [str(self._python), "-m", "synapse.app.homeserver", "-c", str(self.configuration_file)]

    def _environment(self) -> dict[str, str]:
        return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def _configuration(self, **_settings: Any) -> dict[str, Any]:
        here = self._directory
        log = {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(request)s %(message)s"}},
            "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
            "loggers": {"synapse.storage.SQL": {"level": "INFO"}},
            "root": {"level": "INFO", "handlers": ["console"]},
        }
        (here / "log.yaml").write_text(yaml.safe_dump(log))
        (here / "signing.key").write_text(format_signing_key(SigningKey.of("a_peer", os.urandom(32))))
        loopback = {"bind_addresses": ["127.0.0.1"], "type": "http"}
        return {
            "server_name": self.server_name,
            "public_baseurl": f"http://127.0.0.1:{self.port}/",
            "listeners": [
                {**loopback, "port": self.port, "resources": [{"names": ["client", "federation"]}]},
                {
                    **loopback,
                    "port": self._federation_port,
                    "tls": True,
                    "resources": [{"names": ["federation"]}],
                },
            ],
            "tls_certificate_path": str(self._certificates.chain),
            "tls_private_key_path": str(self._certificates.key),
            "federation_custom_ca_list": [str(self._certificates.authority)],
            "ip_range_blacklist": [],
            "federation_ip_range_blacklist": [],
            "signing_key_path": str(here / "signing.key"),
            "trusted_key_servers": [],
            "pid_file": str(here / "synapse.pid"),
            "log_config": str(here / "log.yaml"),
            "media_store_path": str(here / "media"),
            "database": {"name": "sqlite3", "args": {"database": str(here / "synapse.db")}},
            "report_stats": False,
            "macaroon_secret_key": "macaroons",
            "form_secret": "forms",
            "registration_shared_secret": SHARED_SECRET,
            "enable_registration": True,
            "enable_registration_without_verification": True,
            "bcrypt_rounds": 4,
            "allow_public_rooms_over_federation": True,
            "room_list_publication_rules": [
                {"user_id": "*", "alias": "*", "room_id": "*", "action": "allow"}
            ],
            "federation": {
                "destination_min_retry_interval": "1s",
                "destination_max_retry_interval": "1s",
                "destination_retry_multiplier": 1,
            },
            **no_limits(),
        }


def no_limits() -> dict[str, Any]:
    """Settings that let people do what they like, and other servers too."""
    each = (
        "rc_message", "rc_registration", "rc_admin_redaction", "rc_joins_per_room", "rc_3pid_validation",
        "rc_third_party_invite", "rc_media_create", "rc_room_creation", "rc_delayed_event_mgmt", "rc_key_requests",
        "rc_reports", "rc_user_directory", "rc_registration_token_validity",
    )  # fmt: skip
    return {
        **dict.fromkeys(each, UNLIMITED),
        "rc_login": dict.fromkeys(("address", "account", "failed_attempts"), UNLIMITED),
        "rc_joins": dict.fromkeys(("local", "remote"), UNLIMITED),
        "rc_invites": dict.fromkeys(("per_room", "per_user", "per_issuer"), UNLIMITED),
        "rc_presence": {"per_user": UNLIMITED},
        "rc_federation": {
            "window_size": 1000,
            "sleep_limit": 10_000,
            "reject_limit": 10_000,
            "concurrent": 100,
        },
    }
