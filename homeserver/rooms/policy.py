"""Policy servers: a room may name a server that looks at every event before the others show it.

Spec: https://spec.matrix.org/v1.19/server-server-api/#policy-servers
"""

from __future__ import annotations

from typing import NamedTuple

from federation.outbound.client import FederationClient
from homeserver.errors import RemoteError
from homeserver.events.event import Event
from homeserver.events.signatures import decode_base64, signed_bytes, verify_bytes
from homeserver.ids import ServerName, is_server_name
from homeserver.rooms.live_room import LiveRoom

POLICY_TYPE = "m.room.policy"
KEY_ID = "ed25519:policy_server"


class PolicyServer(NamedTuple):
    """The server that a room has named, and its key."""

    server: ServerName
    public_key: bytes


def policy_server_of(room: LiveRoom) -> PolicyServer | None:
    """The room's policy server, if it names one that is in it."""
    content = room.content(POLICY_TYPE)
    via, keys = content.get("via"), content.get("public_keys")
    key = keys.get("ed25519") if isinstance(keys, dict) else None
    if not isinstance(via, str) or not isinstance(key, str) or not is_server_name(via):
        return None
    if ServerName(via) not in room.joined_servers:
        return None
    try:
        return PolicyServer(ServerName(via), decode_base64(key))
    except ValueError:
        return None


def is_signed_by(event: Event, policy: PolicyServer) -> bool:
    """Whether the policy server has let the event pass."""
    of_server = event.signatures.get(policy.server)
    signature = of_server.get(KEY_ID) if isinstance(of_server, dict) else None
    if not isinstance(signature, str):
        return False
    return verify_bytes(signed_bytes(event.pdu, event.version), signature, policy.public_key)


class RoomPolicies:
    """Asks policy servers about events that came without their signature."""

    def __init__(self, client: FederationClient, *, server_name: ServerName) -> None:
        self._client = client
        self._server_name = server_name

    async def refusal(self, room: LiveRoom, event: Event) -> str | None:
        """Why the room's policy server keeps the event out; None if it does not."""
        if event.type == POLICY_TYPE and event.state_key == "":
            return None
        policy = policy_server_of(room)
        if policy is None or policy.server == self._server_name or is_signed_by(event, policy):
            return None
        try:
            signatures = await self._client.ask_policy_server(policy.server, event.json)
        except RemoteError as error:
            return f"the policy server {policy.server} does not let it pass: {error}"
        pdu = event.pdu
        pdu["signatures"].setdefault(policy.server, {}).update(signatures.get(policy.server, {}))
        if is_signed_by(event.with_pdu(pdu), policy):
            return None
        return f"the policy server {policy.server} has not signed it"
