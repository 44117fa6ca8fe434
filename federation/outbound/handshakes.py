"""Joining, knocking, leaving and inviting by the grace of other servers.

Spec: https://spec.matrix.org/v1.19/server-server-api/#joining-rooms
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from federation.outbound.requests import Refused, SignedRequests, path, with_query
from federation.wire.handshakes import InviteAnswer, InviteRequest, SendJoinAnswer, SendKnockAnswer, Template
from homeserver.errors import RemoteError
from homeserver.ids import EventID, RoomID, ServerName, UserID

MAX_JOIN_BYTES = 500 * 1024 * 1024
"""The state of the largest rooms, with its auth chain."""

JOIN_TIMEOUT_MS = 180_000
POLICY_TIMEOUT_MS = 10_000
_SINGLE_VERSIONS = frozenset({"1", "2"})


class Handshakes:
    """What is asked and sent while somebody's membership changes through another server."""

    def __init__(self, requests: SignedRequests) -> None:
        self._requests = requests

    async def make_join(
        self, server: ServerName, room_id: RoomID, user_id: UserID, versions: Sequence[str]
    ) -> Template:
        """A template for a join event. Check it with `check_template` before signing."""
        return await self._make(server, "make_join", room_id, user_id, versions)

    async def make_knock(
        self, server: ServerName, room_id: RoomID, user_id: UserID, versions: Sequence[str]
    ) -> Template:
        """A template for a knock."""
        return await self._make(server, "make_knock", room_id, user_id, versions)

    async def make_leave(self, server: ServerName, room_id: RoomID, user_id: UserID) -> Template:
        """A template for leaving, rejecting an invite or taking back a knock."""
        return await self._make(server, "make_leave", room_id, user_id, None)

    async def send_join(
        self,
        server: ServerName,
        room_id: RoomID,
        event_id: EventID,
        pdu: bytes,
        *,
        omit_members: bool = False,
    ) -> SendJoinAnswer:
        """Join with the signed event; with `omit_members` the answer may lack the member list."""
        uri = path("federation/v2/send_join", room_id, event_id)
        try:
            return await self._requests.put(
                server,
                with_query(uri, {"omit_members": True if omit_members else None}),
                pdu,
                SendJoinAnswer,
                max_bytes=MAX_JOIN_BYTES,
                timeout_ms=JOIN_TIMEOUT_MS,
                patient=True,
            )
        except Refused as error:
            if not _is_unknown_endpoint(error):
                raise
        # COMPAT(servers before r0.1.4): version 1 answers [200, answer].
        v1 = path("federation/v1/send_join", room_id, event_id)
        _, answer = await self._requests.put(
            server,
            v1,
            pdu,
            tuple[int, SendJoinAnswer],
            max_bytes=MAX_JOIN_BYTES,
            timeout_ms=JOIN_TIMEOUT_MS,
            patient=True,
        )
        return answer

    async def send_knock(
        self, server: ServerName, room_id: RoomID, event_id: EventID, pdu: bytes
    ) -> SendKnockAnswer:
        """Knock with the signed event."""
        uri = path("federation/v1/send_knock", room_id, event_id)
        return await self._requests.put(server, uri, pdu, SendKnockAnswer, patient=True)

    async def send_leave(self, server: ServerName, room_id: RoomID, event_id: EventID, pdu: bytes) -> None:
        """Leave with the signed event."""
        try:
            uri = path("federation/v2/send_leave", room_id, event_id)
            await self._requests.put(server, uri, pdu, dict[str, Any], patient=True)
        except Refused as error:
            if not _is_unknown_endpoint(error):
                raise
            # COMPAT(servers before r0.1.4): version 1 answers [200, {}].
            uri = path("federation/v1/send_leave", room_id, event_id)
            await self._requests.put(server, uri, pdu, list[Any], patient=True)

    async def invite(
        self,
        server: ServerName,
        room_id: RoomID,
        event_id: EventID,
        pdu: dict[str, Any],
        *,
        room_version: str,
        room_state: Iterable[dict[str, Any]],
    ) -> dict[str, Any]:
        """Invite the server's user with our signed event; gives the event with the server's signature added."""
        request = InviteRequest(pdu, room_version, list(room_state))
        uri = path("federation/v2/invite", room_id, event_id)
        try:
            content = msgspec.to_builtins(request)
            return (await self._requests.put(server, uri, content, InviteAnswer, patient=True)).event
        except Refused as error:
            # COMPAT(servers before r0.1.4): only version 1 of the endpoint, which knows room versions 1 and 2.
            if (
                room_version not in _SINGLE_VERSIONS
                or error.status not in (400, 404)
                or not _is_silent(error)
            ):
                raise
        v1 = {**pdu, "unsigned": {"invite_room_state": request.invite_room_state}}
        uri = path("federation/v1/invite", room_id, event_id)
        _, answer = await self._requests.put(server, uri, v1, tuple[int, InviteAnswer], patient=True)
        return answer.event

    async def exchange_third_party_invite(
        self, server: ServerName, room_id: RoomID, event: Mapping[str, Any]
    ) -> None:
        """Have the inviting server turn a third-party invite into one for our user."""
        uri = path("federation/v1/exchange_third_party_invite", room_id)
        await self._requests.put(server, uri, event, dict[str, Any], patient=True)

    async def ask_policy_server(
        self, server: ServerName, pdu: bytes, *, patient: bool
    ) -> dict[str, dict[str, str]]:
        """Have a policy server sign an event: its signatures, by server and key ID.

        Raises:
            Refused: it does not want the event in the room.
        """
        return await self._requests.put(
            server,
            "/_matrix/policy/v1/sign",
            pdu,
            dict[str, dict[str, str]],
            method="POST",
            timeout_ms=POLICY_TIMEOUT_MS,
            patient=patient,
        )

    async def _make(
        self,
        server: ServerName,
        endpoint: str,
        room_id: RoomID,
        user_id: UserID,
        versions: Sequence[str] | None,
    ) -> Template:
        uri = with_query(path(f"federation/v1/{endpoint}", room_id, user_id), {"ver": versions})
        return await self._requests.get(server, uri, Template, patient=True)


def _is_unknown_endpoint(error: RemoteError) -> bool:
    return error.status in (404, 405) and error.errcode in (None, "M_UNRECOGNIZED")


def _is_silent(error: Refused) -> bool:
    """Whether the refusal says nothing about the invite itself."""
    return error.errcode in (None, "M_UNRECOGNIZED", "M_UNKNOWN")
