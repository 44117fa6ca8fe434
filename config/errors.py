"""The one refusal of this package."""

from __future__ import annotations

from homeserver.errors import HearthError


class ConfigError(HearthError):
    """A configuration that cannot be used: one sentence that names the setting and what is wrong with it."""
