"""Joining, knocking on, leaving and inviting across servers: what changes a membership with another server's help.

Spec: https://spec.matrix.org/v1.19/server-server-api/#joining-rooms
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import msgspec
import structlog

from federation.outbound.client import FederationClient
from federation.outbound.requests import Refused
from federation.wire.handshakes import SendJoinAnswer, Template, check_template
from homeserver.errors import EventError, Forbidden, MatrixError, NotFound, RemoteError
from homeserver.events.event import Event
from homeserver.events.room_versions import ROOM_VERSIONS, RoomVersion
from homeserver.events.stripped_state import parse_stripped_state, stripped_state
from homeserver.ids import RoomID, ServerName, UserID, domain_of, is_server_name
from homeserver.rooms.arrival import Admission, Arrival
from homeserver.rooms.completing import TemplateSigner
from homeserver.rooms.gate import Gate
from homeserver.rooms.incoming import Fate
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.outside import OutsideMemberships, servers_in
from homeserver.rooms.receiving import Receiving
from homeserver.rooms.registry import Rooms
from homeserver.rooms.turns import Turns
from homeserver.rooms.unheard_leaves import find_unheard_leave
from homeserver.rooms.unsure_joins import UnsureJoins
from homeserver.rooms.writer import Draft, RoomWriter
from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks
from storage import membership as membership_rows
from storage import stripped
from storage.database import Database
from storage.unsure_joins import UnsureJoin

_log = structlog.get_logger(__name__)

MAX_SERVERS = 10
"""How many servers are asked to let somebody in."""

MAX_SERVERS_TOLD = 20_000

_ELSEWHERE = frozenset(
    {"M_UNABLE_TO_AUTHORISE_JOIN", "M_UNABLE_TO_GRANT_JOIN", "M_UNABLE_DUE_TO_PARTIAL_STATE"}
)
"""Refusals after which another server may still say yes."""

_VOICES = frozenset({"M_INCOMPATIBLE_ROOM_VERSION", "M_UNSUPPORTED_ROOM_VERSION", "M_INVITE_BLOCKED"})
"""Refusals that our client is told in their own words."""


class RemoteHandshakes:
    """The handshakes that memberships take part in; see `homeserver.rooms.membership.Handshakes`."""

    def __init__(
        self,
        db: Database,
        rooms: Rooms,
        client: FederationClient,
        signer: TemplateSigner,
        gate: Gate,
        receiving: Receiving,
        arrival: Arrival,
        outside: OutsideMemberships,
        writer: RoomWriter,
        clock: Clock,
        tasks: Tasks,
        joins: Turns[RoomID],
        *,
        server_name: ServerName,
    ) -> None:
        self.unsure_joins = UnsureJoins(db, clock, tasks, self._settle)
        self._db = db
        self._rooms = rooms
        self._client = client
        self._signer = signer
        self._gate = gate
        self._receiving = receiving
        self._arrival = arrival
        self._outside = outside
        self._writer = writer
        self._server_name = server_name
        self._joins = joins

    # Joining.

    async def join(
        self, room_id: RoomID, user_id: UserID, servers: Sequence[ServerName], content: dict[str, Any]
    ) -> None:
        """Have a local user join through one of the servers.

        Raises:
            Forbidden: the room's rules do not let the user in.
            NotFound: no server knows the room.
            MatrixError: no server could be asked, or the room's version is unknown here.
        """
        async with self._joins.of(room_id):
            # Somebody else of ours may have come in meanwhile.
            room = await self._rooms.find_or_load(room_id)
            if room is not None and room.is_joined(user_id):
                return

            async def join_through(server: ServerName) -> None:
                await self._join_through(server, room_id, user_id, content)

            await self._first_of(servers, join_through, f"joining {room_id}")

    async def _join_through(
        self, server: ServerName, room_id: RoomID, user_id: UserID, content: dict[str, Any]
    ) -> None:
        template, version = await self._join_template(server, room_id, user_id)
        leave = await self._db.read(find_unheard_leave, room_id, user_id, version, template)
        if leave is not None:
            try:
                await self._client.send_leave(server, room_id, leave.event_id, leave.json)
            except Refused as error:
                # It goes by the join that it knows, and lets the user in by that.
                _log.info("a server does not take a leave", server=server, room=room_id, reason=str(error))
            template, version = await self._join_template(server, room_id, user_id)
        authoriser = template.event["content"].get("join_authorised_via_users_server")
        if isinstance(authoriser, str):
            content = {**content, "join_authorised_via_users_server": authoriser}
        event = self._signer.complete(template, version, content)
        room = await self._rooms.find_or_load(room_id)
        is_inside = room is not None and bool(room.local_joined)
        await self.unsure_joins.begin(room_id, user_id, server, content)
        try:
            answer = await self._client.send_join(
                server, room_id, event.event_id, event.json, omit_members=not is_inside
            )
            if answer.event is not None:
                event = self._signer.merge(event, answer.event)
            if is_inside:
                # We know the room, and only needed somebody to vouch for the join.
                fate = await self._receiving.receive(server, event)
                if fate in (Fate.REJECTED, Fate.SOFT_FAILED):
                    raise RemoteError(f"{server} let {user_id} into {room_id} against the room's rules")
            else:
                await self._arrival.enter(version, await self._admission(server, version, event, answer))
        except BaseException as error:
            if isinstance(error, Refused) and 400 <= (error.status or 0) < 500:
                await self.unsure_joins.end(room_id, user_id)
            else:
                self.unsure_joins.doubt(room_id, user_id)
            raise
        await self.unsure_joins.end(room_id, user_id)

    async def _join_template(
        self, server: ServerName, room_id: RoomID, user_id: UserID
    ) -> tuple[Template, RoomVersion]:
        template = await self._client.make_join(server, room_id, user_id, list(ROOM_VERSIONS))
        return template, check_template(template, room_id=room_id, user_id=user_id, membership="join")

    async def _settle(self, join: UnsureJoin) -> bool:
        """Find out whether a user is in a room that did not answer their join, and have both sides agree on it."""
        room_id, user_id = join.room_id, join.user_id
        async with self._joins.of(room_id):
            room = await self._rooms.find_or_load(room_id)
            if room is not None and room.is_joined(user_id):
                return True
            current = await self._db.read(membership_rows.find, room_id, user_id)
            try:
                if current is not None and current.membership == "invite":
                    # The invitation is used up if the join went through, and still wanted if it did not.
                    await self._join_through(join.server, room_id, user_id, msgspec.json.decode(join.content))
                else:
                    await self._leave_through(join.server, room_id, user_id, {"membership": "leave"})
            except Refused as error:
                # Somebody who may not even leave is not inside.
                return error.status in (403, 404)
        return True

    async def _admission(
        self, server: ServerName, version: RoomVersion, event: Event, answer: SendJoinAnswer
    ) -> Admission:
        event = await self._gate.check_one(event.pdu, version, event.room_id)
        state = await self._gate.check(answer.state, version, event.room_id)
        chain = await self._gate.check(answer.auth_chain, version, event.room_id)
        refused = {**state.refused, **chain.refused}
        if refused:
            _log.info(
                "some of a room's state does not pass", room=event.room_id, via=server, events=len(refused)
            )
        return Admission(
            join=event,
            state=[each for each in state.events if each.key is not None],
            auth_chain=chain.events,
            via=server,
            # What cannot be verified yet is fetched again, like what was left out.
            is_partial=answer.members_omitted or bool(state.unverified or chain.unverified),
            servers=frozenset(_servers_of(answer, state.events)),
        )

    # Knocking.

    async def knock(
        self, room_id: RoomID, user_id: UserID, servers: Sequence[ServerName], content: dict[str, Any]
    ) -> None:
        """Have a local user knock through one of the servers.

        Raises:
            Forbidden: the room's rules do not let the user knock.
            NotFound: no server knows the room.
        """
        versions = [version.id for version in ROOM_VERSIONS.values() if version.has_knocking]

        async def knock_through(server: ServerName) -> None:
            template = await self._client.make_knock(server, room_id, user_id, versions)
            version = check_template(template, room_id=room_id, user_id=user_id, membership="knock")
            event = self._signer.complete(template, version, content)
            answer = await self._client.send_knock(server, room_id, event.event_id, event.json)
            await self._outside.store(event, parse_stripped_state(answer.knock_room_state))

        await self._first_of(servers, knock_through, f"knocking on {room_id}")

    # Leaving.

    async def leave(self, room_id: RoomID, user_id: UserID, content: dict[str, Any]) -> None:
        """Have a local user decline an invitation or take back a knock; here at least, if nobody can be told."""
        current = await self._db.read(membership_rows.find, room_id, user_id)
        kept = await self._db.read(stripped.find, room_id, user_id)
        shown: list[dict[str, Any]] = [] if kept is None else msgspec.json.decode(kept)
        inviter = [] if current is None else [domain_of(current.sender)]
        room = await self._rooms.find_or_load(room_id)
        known = [] if room is None else room.servers
        servers = dict.fromkeys([*inviter, *servers_in(shown), *known])
        servers.pop(self._server_name, None)
        for server in list(servers)[:MAX_SERVERS]:
            try:
                event = await self._leave_through(server, room_id, user_id, content)
            except (RemoteError, EventError) as error:
                _log.info("cannot leave through a server", server=server, room=room_id, reason=str(error))
                continue
            await self._outside.store(event)
            return
        await self._outside.store(await self._signer.departure(room_id, user_id, content))

    async def _leave_through(
        self, server: ServerName, room_id: RoomID, user_id: UserID, content: dict[str, Any]
    ) -> Event:
        template = await self._client.make_leave(server, room_id, user_id)
        version = check_template(template, room_id=room_id, user_id=user_id, membership="leave")
        event = self._signer.complete(template, version, content)
        await self._client.send_leave(server, room_id, event.event_id, event.json)
        return event

    # Inviting.

    async def invite(self, room: LiveRoom, draft: Draft) -> None:
        """Invite a user of another server, who is asked first.

        Raises:
            Forbidden: the room's rules do not allow it, or the invited server wants no such invitation.
            MatrixError: the invited server cannot be reached, or does not know the room's version.
        """
        invitee = UserID(draft.state_key or "")
        server = domain_of(invitee)
        event = await self._writer.prepare_vouched(room, draft)
        shown = [each.pdu for each in stripped_state(room.state, sender=draft.sender)]
        try:
            answer = await self._client.invite(
                server,
                room.room_id,
                event.event_id,
                event.pdu,
                room_version=room.version.id,
                room_state=shown,
            )
        except RemoteError as error:
            told = _told_to_client(error, f"{server} does not take the invitation")
            if told.code == "M_INCOMPATIBLE_ROOM_VERSION":
                # What servers say to one another has another name for clients.
                told = MatrixError(told.error, errcode="M_UNSUPPORTED_ROOM_VERSION")
            raise told from error
        event = self._signer.merge(event, answer)
        fate = await self._receiving.receive(self._server_name, event)
        if fate in (Fate.REJECTED, Fate.SOFT_FAILED):
            raise Forbidden("the room has changed, and its rules do not allow the invitation any more")

    # What they have in common.

    async def _first_of(
        self, servers: Sequence[ServerName], attempt: Callable[[ServerName], Awaitable[None]], what: str
    ) -> None:
        """Try the servers in order.

        Raises:
            MatrixError: the first refusal that means something, or that nobody could be asked.
        """
        refusals: list[RemoteError] = []
        for server in list(dict.fromkeys(servers))[:MAX_SERVERS]:
            try:
                await attempt(server)
            except EventError as error:
                refusals.append(RemoteError(f"{server} made an event that cannot be: {error}"))
            except RemoteError as error:
                refusals.append(error)
                is_final = error.status in (400, 403) and error.errcode not in _ELSEWHERE
                if isinstance(error, Refused) and is_final:
                    break
            else:
                return
            _log.info("a server is of no help", server=server, what=what, reason=str(refusals[-1]))
        raise _told_to_client(_most_telling(refusals, what), what)


def _servers_of(answer: SendJoinAnswer, state: Sequence[Event]) -> Iterator[ServerName]:
    """The servers in the room, as far as the one that let us in says; it could name any."""
    for name in (answer.servers_in_room or [])[:MAX_SERVERS_TOLD]:
        if is_server_name(name):
            yield ServerName(name)
    for event in state:
        if event.type == "m.room.member" and event.content.get("membership") == "join":
            yield event.domain


def _most_telling(refusals: Sequence[RemoteError], what: str) -> RemoteError:
    for status in (403, 400, 404):
        for refusal in refusals:
            if refusal.status == status:
                return refusal
    return refusals[-1] if refusals else RemoteError(f"{what}: no server could be asked")


def _told_to_client(error: RemoteError, what: str) -> MatrixError:
    """What another server's refusal is to the client that asked us."""
    extra: dict[str, Any] = {}
    message = f"{what}: {error}"
    if isinstance(error, Refused):
        message = error.refusal.error
        if error.refusal.room_version is not None:
            extra["room_version"] = error.refusal.room_version
    if error.errcode in _VOICES or error.errcode in _ELSEWHERE:
        return MatrixError(message, status=error.status or 400, errcode=error.errcode, **extra)
    if error.status == 403:
        return Forbidden(message)
    if error.status == 404:
        return NotFound(message)
    return MatrixError(message, status=502, errcode="M_UNKNOWN")
