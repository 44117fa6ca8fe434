"""A setting has an effect, or says that it has none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from config import Config
from config.pending import PENDING, is_pending, unheeded
from config.rate_limits import RateLimitsConfig

ROOT = Path(__file__).resolve().parents[3]

# Read through all fields at once.
READ_TOGETHER = re.compile(r"^rate_limits\.rc_|^database\.args\.")

# Synapse's, for which this server has no use: they say so themselves.
ACCEPTED = {"keys.trusted_key_servers.accept_keys_insecurely"}


def source() -> str:
    shipped = [path for top in ("homeserver", "federation", "storage") for path in (ROOT / top).rglob("*.py")]
    properties = (ROOT / "config").rglob("*.py")
    words = [re.findall(r"\.([a-z0-9_]+)\b", path.read_text()) for path in shipped]
    own = [re.findall(r"(?:self|resource)\.([a-z0-9_]+)\b", path.read_text()) for path in properties]
    return " " + " ".join(word for found in (*words, *own) for word in found) + " "


def leaves(section: Any, path: str) -> Iterator[str]:
    hints = get_type_hints(section)
    for one in fields(section):
        inner = [hint for hint in (hints[one.name], *get_args(hints[one.name])) if is_dataclass(hint)]
        if inner:
            yield from leaves(inner[0], f"{path}{one.name}.")
        else:
            yield f"{path}{one.name}"


def test_every_setting_is_read_or_said_to_have_no_effect() -> None:
    words = source()
    unread = [
        path
        for path in set(leaves(Config, "")) - ACCEPTED
        if f" {path.rpartition('.')[2]} " not in words
        and not is_pending(path)
        and not READ_TOGETHER.search(path)
    ]
    assert unread == []


def test_what_is_pending_exists() -> None:
    known = set(leaves(Config, ""))
    for path in PENDING:
        assert any(leaf == path or leaf.startswith(f"{path}.") for leaf in known), path


def test_rates_are_read_together() -> None:
    assert all(
        one.name.startswith(("rc_", "enable_", "federation_", "remote_")) for one in fields(RateLimitsConfig)
    )


def test_what_a_file_sets_in_vain_is_named() -> None:
    raw = {
        "server_name": "one.test",
        "email": {"smtp_host": "x"},
        "max_upload_size": "1M",
        "log": {"level": "info"},
    }
    found = set(unheeded(raw))
    assert "server_name" not in found
    assert found == {key for key in ("email.smtp_host", "max_upload_size") if key in found}
