"""Credentials for TURN servers: a name that says until when, and its HMAC under a secret shared with the server.

Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3voipturnserver
"""

from __future__ import annotations

import base64
import hmac
from typing import Any

from config.calls import TurnConfig
from homeserver.errors import GuestForbidden
from homeserver.http.requester import Requester
from homeserver.runtime.clock import Clock


class TurnCredentials:
    """Makes them."""

    def __init__(self, config: TurnConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    def of(self, who: Requester) -> dict[str, Any]:
        """Credentials for a user; nothing where there is no TURN server.

        Raises:
            GuestForbidden: guests have none.
        """
        config = self._config
        if who.is_guest and not config.turn_allow_guests:
            raise GuestForbidden("guests may not make calls")
        if not config.turn_uris:
            return {}
        if config.turn_shared_secret is not None:
            expires_s = (self._clock.now_ms() + config.turn_user_lifetime_ms) // 1000
            username = f"{expires_s}:{who.user_id}"
            # coturn knows no other hash.
            digest = hmac.new(config.turn_shared_secret.encode(), username.encode(), "sha1").digest()
            password = base64.b64encode(digest).decode()
        elif config.turn_username is not None and config.turn_password is not None:
            username, password = config.turn_username, config.turn_password
        else:
            return {}
        return {
            "username": username,
            "password": password,
            "ttl": config.turn_user_lifetime_ms // 1000,
            "uris": list(config.turn_uris),
        }
