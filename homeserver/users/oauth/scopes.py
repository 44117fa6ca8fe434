"""Scopes: the whole client-server API, on one device.

Spec: https://spec.matrix.org/v1.19/client-server-api/#scope
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from homeserver.ids import DeviceID
from homeserver.users.oauth.errors import OAuthError

API = "urn:matrix:client:api:*"
DEVICE = "urn:matrix:client:device:"

# COMPAT(clients before v1.15): the names of MSC2967.
_OLD_API = "urn:matrix:org.matrix.msc2967.client:api:*"
_OLD_DEVICE = "urn:matrix:org.matrix.msc2967.client:device:"
_TOLERATED = frozenset({"openid"})
"""Asked for by clients that speak OpenID Connect; neither granted nor refused."""

_MAX_DEVICE_ID = 255
_is_device_id = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+").fullmatch


@dataclass(frozen=True, slots=True)
class Scope:
    """What a client may do, as it asked for it (`text`), and the device that it becomes."""

    text: str
    device_id: DeviceID


def parse_scope(text: str) -> Scope:
    """The scope that a client asks for.

    Raises:
        OAuthError: it is not one that can be granted.
    """
    granted, devices, has_api = [], [], False
    for token in dict.fromkeys(text.split()):
        if token in (API, _OLD_API):
            has_api = True
        elif token.startswith((DEVICE, _OLD_DEVICE)):
            devices.append(token.removeprefix(DEVICE).removeprefix(_OLD_DEVICE))
        elif token in _TOLERATED:
            continue
        else:
            raise OAuthError("invalid_scope", f"unknown scope {token[:100]!r}")
        granted.append(token)
    if not has_api:
        raise OAuthError("invalid_scope", f"the scope must have {API}")
    if len(devices) != 1:
        raise OAuthError("invalid_scope", f"the scope must have exactly one {DEVICE}<device_id>")
    if len(devices[0]) > _MAX_DEVICE_ID or not _is_device_id(devices[0]):
        raise OAuthError("invalid_scope", "the scope has a device ID that cannot be one")
    return Scope(" ".join(granted), DeviceID(devices[0]))
