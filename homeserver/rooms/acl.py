"""Which servers may take part in a room. Spec: https://spec.matrix.org/v1.19/client-server-api/#mroomserver_acl"""

from __future__ import annotations

from homeserver.events.server_acl import is_allowed
from homeserver.ids import ServerName
from homeserver.rooms.live_room import LiveRoom


def is_server_allowed(room: LiveRoom, server: ServerName) -> bool:
    """Whether the room's access control list lets the server take part."""
    acl = room.find_state("m.room.server_acl")
    return is_allowed(None if acl is None else acl.content, server)
