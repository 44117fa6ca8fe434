"""What local users send into rooms: messages, state and redactions, with the rules that are not authorization rules.

Spec: https://spec.matrix.org/v1.19/client-server-api/#sending-events-to-a-room
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from homeserver.errors import BadJson, Forbidden, InvalidParam, MatrixError, NotFound
from homeserver.events.relations import parse_relation
from homeserver.ids import EventID, RoomID, UserID, domain_of, is_user_id, parse_event_id
from homeserver.rooms.access import RoomAccess
from homeserver.rooms.aliases import Aliases
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.membership import Memberships
from homeserver.rooms.timeline import TransactionId
from homeserver.rooms.writer import Draft, RoomWriter
from storage import events as event_rows
from storage import membership as membership_rows
from storage import relations
from storage.database import Database
from storage.transaction import Transaction

SendCheck = Callable[[LiveRoom, Draft], Awaitable[None]]


class DuplicateAnnotation(MatrixError):
    errcode = "M_DUPLICATE_ANNOTATION"


class Sending:
    """Sends what clients compose."""

    def __init__(
        self, db: Database, writer: RoomWriter, memberships: Memberships, access: RoomAccess, aliases: Aliases
    ) -> None:
        self._db = db
        self._writer = writer
        self._memberships = memberships
        self._access = access
        self._aliases = aliases
        self._checks: list[SendCheck] = []

    def check_with(self, check: SendCheck) -> None:
        """Have drafts refused by one more rule (policy servers, the IM facade's limits)."""
        self._checks.append(check)

    async def message(
        self,
        room_id: RoomID,
        sender: UserID,
        event_type: str,
        content: dict[str, Any],
        *,
        transaction: TransactionId | None = None,
        ts: int | None = None,
        unsigned: dict[str, Any] | None = None,
    ) -> EventID:
        """Send an event that is not state.

        Raises:
            Forbidden: the user is not in the room, or lacks the power.
            DuplicateAnnotation: the user has put the same annotation on the same event already.
        """
        if not event_type:
            raise InvalidParam("the event type must not be empty")
        if event_type == "m.room.redaction":
            target = content.get("redacts")
            if not isinstance(target, str):
                raise BadJson("a redaction must name the event that it redacts")
            return await self.redaction(
                room_id, sender, parse_event_id(target), content, transaction=transaction
            )
        room = await self._access.joined(room_id, sender)
        draft = Draft(event_type, sender, content, origin_server_ts=ts, unsigned=unsigned)
        if "m.relates_to" in content and not (transaction and transaction in room.transactions):
            await self._check_relation(draft)
        for check in self._checks:
            await check(room, draft)
        return await self._writer.send(room_id, draft, transaction=transaction)

    async def state(
        self,
        room_id: RoomID,
        sender: UserID,
        event_type: str,
        state_key: str,
        content: dict[str, Any],
        *,
        transaction: TransactionId | None = None,
        ts: int | None = None,
        unsigned: dict[str, Any] | None = None,
    ) -> EventID:
        """Set an entry of the room's state; the same content once more is answered with the event that set it.

        Raises:
            Forbidden: the user is not in the room, or lacks the power.
            BadAlias: an alias of a canonical alias event stands for another room.
        """
        if not event_type:
            raise InvalidParam("the event type must not be empty")
        if event_type == "m.room.create":
            raise Forbidden("a room is created once")
        if event_type == "m.room.member" and state_key == sender:
            event_id = await self._from_outside(room_id, sender, content)
            if event_id is not None:
                return event_id
        room = await self._access.joined(room_id, sender)
        if transaction is not None and (known := room.transactions.get(transaction)) is not None:
            return known
        if event_type == "m.room.member":
            return await self._membership(room, sender, state_key, content)
        current = room.find_state(event_type, state_key)
        if current is not None and current.sender == sender and current.content == content:
            return current.event_id
        if event_type == "m.room.canonical_alias":
            await self._check_aliases(room, content)
        draft = Draft(
            event_type, sender, content, state_key=state_key, origin_server_ts=ts, unsigned=unsigned
        )
        for check in self._checks:
            await check(room, draft)
        return await self._writer.send(room_id, draft, transaction=transaction)

    async def redaction(
        self,
        room_id: RoomID,
        sender: UserID,
        target: EventID,
        content: dict[str, Any],
        *,
        transaction: TransactionId | None = None,
    ) -> EventID:
        """Redact an event: one's own, or anybody's with the power to.

        Raises:
            NotFound: the room has no such event.
            Forbidden: the user may not.
        """
        room = await self._access.joined(room_id, sender)
        if transaction is not None and (known := room.transactions.get(transaction)) is not None:
            return known
        try:
            _, entry = await self._access.event(room_id, target, sender)
        except NotFound:
            raise NotFound(f"the room has no event {target}") from None
        levels = room.power_levels
        if entry.event.sender != sender and levels.user(sender) < levels.redact:
            raise Forbidden("you may not redact this event")
        if room.version.redacts_in_content:
            draft = Draft("m.room.redaction", sender, {**content, "redacts": target})
        else:
            content = {key: value for key, value in content.items() if key != "redacts"}
            draft = Draft("m.room.redaction", sender, content, redacts=target)
        for check in self._checks:
            await check(room, draft)
        return await self._writer.send(room_id, draft, transaction=transaction)

    async def _from_outside(
        self, room_id: RoomID, user_id: UserID, content: dict[str, Any]
    ) -> EventID | None:
        """The member event of somebody who comes in, knocks or declines by setting it; None if they are inside."""
        acts: dict[str, Callable[..., Awaitable[object]]] = {
            "join": self._memberships.join,
            "knock": self._memberships.knock,
            "leave": self._memberships.leave,
        }
        membership = content.get("membership")
        act = acts.get(membership) if isinstance(membership, str) else None
        if act is None or await self._access.is_joined(room_id, user_id):
            return None
        await act(room_id, user_id, extra={key: each for key, each in content.items() if key != "membership"})
        return await self._db.read(_member_event_id, room_id, user_id)

    async def _membership(
        self, room: LiveRoom, sender: UserID, target: str, content: dict[str, Any]
    ) -> EventID:
        """A member event set as state: the membership code's, with the client's own keys kept."""
        if not is_user_id(target):
            raise InvalidParam(f"{target!r} is not a user ID")
        membership = content.get("membership")
        if not isinstance(membership, str):
            raise BadJson("membership must be given")
        user = UserID(target)
        if membership == "invite" and not room.is_joined(user):
            await self._memberships.check_may_invite(sender, user, content)
            if domain_of(user) != domain_of(sender):
                extra = {key: value for key, value in content.items() if key != "membership"}
                event_id = await self._memberships.invite(room.room_id, sender, user, extra=extra)
                if event_id is not None:
                    return event_id
                current = room.find_state("m.room.member", user)
                if current is not None:
                    return current.event_id
        current = room.find_state("m.room.member", target)
        if current is not None and current.sender == sender and current.content == content:
            return current.event_id
        return await self._writer.send(
            room.room_id, Draft("m.room.member", sender, content, state_key=target)
        )

    async def _check_relation(self, draft: Draft) -> None:
        relation = parse_relation(draft.content)
        if relation is None or relation.rel_type != "m.annotation" or relation.event_id is None:
            return
        if draft.type == "m.reaction" and relation.key is not None:
            taken = await self._db.read(
                relations.has_annotated, relation.event_id, draft.sender, draft.type, relation.key
            )
            if taken:
                raise DuplicateAnnotation("you have reacted to this event with this key already")

    async def _check_aliases(self, room: LiveRoom, content: dict[str, Any]) -> None:
        """New aliases in a canonical alias event must stand for this room."""
        before = room.content("m.room.canonical_alias")
        known = {before.get("alias"), *_strings(before.get("alt_aliases"))}
        alias, others = content.get("alias"), content.get("alt_aliases", [])
        if alias is not None and not isinstance(alias, str):
            raise InvalidParam("alias must be a string")
        if not isinstance(others, list) or not all(isinstance(each, str) for each in others):
            raise InvalidParam("alt_aliases must be a list of aliases")
        for each in [alias, *others]:
            if each and each not in known:
                await self._aliases.check_stands_for(each, room.room_id)


def _strings(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _member_event_id(txn: Transaction, room_id: RoomID, user_id: UserID) -> EventID | None:
    current = membership_rows.find(txn, room_id, user_id)
    row = None if current is None else event_rows.by_number(txn, [current.event]).get(current.event)
    return None if row is None else EventID(row.event_id)
