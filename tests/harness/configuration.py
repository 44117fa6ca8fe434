"""The configuration that test servers have unless a test says otherwise."""

from __future__ import annotations

from typing import Any

PASSWORD = "a password nobody guesses"
SHARED_SECRET = "open sesame"


def open_to_all(server_name: str, **settings: Any) -> dict[str, Any]:
    """Everybody may register, hashing costs nothing and no rate is limited."""
    return {
        "server_name": server_name,
        "enable_registration": True,
        "enable_registration_without_verification": True,
        "registration_shared_secret": SHARED_SECRET,
        "bcrypt_rounds": 4,
        "enable_rate_limits": False,
        **settings,
    }
