"""Policy servers: a room may name a server that looks at every event before the others show it.

Spec: https://spec.matrix.org/v1.19/server-server-api/#policy-servers
"""

from __future__ import annotations

from typing import Any, NamedTuple

from federation.outbound.client import FederationClient
from federation.outbound.requests import Refused
from homeserver.errors import BadJson, EventError, Forbidden, MatrixError, NotFound, RemoteError
from homeserver.events.event import Event
from homeserver.events.signatures import decode_base64, signed_bytes, verify_bytes
from homeserver.ids import RoomID, ServerName, is_server_name
from homeserver.rooms.acl import is_server_allowed
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.policy_rules import PolicyRefusal, PolicyRules
from homeserver.rooms.registry import Rooms

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
    """Asks policy servers about events that they have not signed: those of others, and ours before they are sent."""

    def __init__(self, client: FederationClient, rules: PolicyRules, *, server_name: ServerName) -> None:
        """`rules` are those by which this server is a policy server itself."""
        self._client = client
        self._rules = rules
        self._server_name = server_name

    def is_asked(self, room: LiveRoom, event_type: str, state_key: str | None) -> bool:
        """Whether a policy server has a say in events of this type."""
        if event_type == POLICY_TYPE and state_key == "":
            return False
        policy = policy_server_of(room)
        if policy is None or policy.server != self._server_name:
            return policy is not None
        return policy.public_key == self._rules.public_key

    async def sign_for(self, rooms: Rooms, origin: ServerName, pdu: dict[str, Any]) -> dict[str, Any]:
        """Our signature as a policy server of another server's event.

        Raises:
            NotFound: this is no policy server, or not that of the room.
            Forbidden: the room's access control list keeps the other server out.
            BadJson: it is no event.
            PolicyRefusal: the event is not wanted.
        """
        room_id = pdu.get("room_id")
        room = await rooms.find_or_load(RoomID(room_id)) if isinstance(room_id, str) else None
        policy = None if room is None else policy_server_of(room)
        if room is None or policy != (self._server_name, self._rules.public_key):
            raise NotFound("this server is not the policy server of such a room")
        if not is_server_allowed(room, origin):
            raise Forbidden(f"{origin} may not take part in this room")
        try:
            event = Event.from_pdu(pdu, room.version)
        except EventError as error:
            raise BadJson(str(error)) from error
        if event.key == (POLICY_TYPE, ""):
            raise BadJson("nobody signs who the policy server is")
        return {self._server_name: self._rules.sign(event)}

    async def refusal(self, room: LiveRoom, event: Event) -> str | None:
        """Why the room's policy server keeps another server's event out; None if it does not."""
        policy = policy_server_of(room)
        if policy is None or not self.is_asked(room, event.type, event.state_key):
            return None
        try:
            await self._signed(policy, event, patient=False)
        except (RemoteError, PolicyRefusal) as error:
            return f"the policy server {policy.server} does not let it pass: {error}"
        return None

    async def countersigned(self, room: LiveRoom, event: Event) -> Event:
        """Our event with the signature of the room's policy server.

        Raises:
            Forbidden: the policy server refuses it.
            MatrixError: the policy server cannot be asked.
        """
        policy = policy_server_of(room)
        if policy is None:
            return event
        try:
            return await self._signed(policy, event, patient=True)
        except PolicyRefusal as error:
            raise Forbidden(error.error) from error
        except Refused as error:
            if error.status is not None and error.status < 500 and error.status != 429:
                raise Forbidden(error.refusal.error) from error
            raise MatrixError(f"the room's policy server does not answer: {error}", status=502) from error
        except RemoteError as error:
            raise MatrixError(f"the room's policy server does not answer: {error}", status=502) from error

    async def _signed(self, policy: PolicyServer, event: Event, *, patient: bool) -> Event:
        """The event with the policy server's signature; `patient` asks one that failed lately all the same."""
        if is_signed_by(event, policy):
            return event
        if policy.server == self._server_name:
            signatures: dict[str, dict[str, str]] = {policy.server: self._rules.sign(event)}
        else:
            signatures = await self._client.ask_policy_server(policy.server, event.json, patient=patient)
        pdu = event.pdu
        # Signatures that the server made before, under its other keys, stay.
        pdu["signatures"].setdefault(policy.server, {}).update(
            {key: value for key, value in signatures.get(policy.server, {}).items() if key == KEY_ID}
        )
        signed = event.with_pdu(pdu)
        if not is_signed_by(signed, policy):
            raise RemoteError(f"{policy.server} has not signed it")
        return signed
