"""Thread subscriptions (MSC4306): which threads a user follows, by their own choice or by taking part.

Spec: https://github.com/matrix-org/matrix-spec-proposals/pull/4306
"""

from __future__ import annotations

from homeserver.errors import MatrixError, NotFound
from homeserver.events.relations import parse_relation
from homeserver.ids import EventID, RoomID, UserID
from homeserver.rooms.access import RoomAccess
from homeserver.runtime.notifier import LogKind
from storage import thread_subscriptions as rows
from storage.database import Database
from storage.thread_subscriptions import SubscriptionRow
from storage.transaction import Transaction


class NotInThread(MatrixError):
    errcode = "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD"


class ConflictingUnsubscription(MatrixError):
    status = 409
    errcode = "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION"


class ThreadSubscriptions:
    """Reads and changes subscriptions."""

    def __init__(self, db: Database, access: RoomAccess) -> None:
        self._db = db
        self._access = access

    async def load(self, user_id: UserID, room_id: RoomID, root: EventID) -> SubscriptionRow:
        """
        Raises:
            NotFound: there is no such thread for the user, or they do not follow it.
        """
        await self._access.event(room_id, root, user_id)
        found = await self._db.read(rows.find, user_id, room_id, root)
        if found is None or not found.subscribed:
            raise NotFound("you are not subscribed to this thread")
        return found

    async def subscribe(
        self, user_id: UserID, room_id: RoomID, root: EventID, *, cause: EventID | None = None
    ) -> None:
        """Follow a thread; `cause` is the event in it for which a client does so by itself.

        Raises:
            NotInThread: the cause is not part of the thread.
            ConflictingUnsubscription: the user has left the thread since the cause.
        """
        await self._access.event(room_id, root, user_id)
        position = None
        if cause is not None:
            _, entry = await self._access.event(room_id, cause, user_id)
            relation = parse_relation(entry.event.content)
            if relation is None or relation.thread_root != root:
                raise NotInThread(f"{cause} is not in the thread {root}")
            position = entry.position
        refused = await self._db.run(_subscribe, user_id, room_id, root, position)
        if refused:
            raise ConflictingUnsubscription("you have unsubscribed from this thread since")

    async def unsubscribe(self, user_id: UserID, room_id: RoomID, root: EventID) -> None:
        """Follow the thread no more, whatever happens in it."""
        await self._access.event(room_id, root, user_id)
        await self._db.run(_unsubscribe, user_id, room_id, root)

    async def changes(self, user_id: UserID, *, after: int, until: int, limit: int) -> list[SubscriptionRow]:
        """What changed in (after, until], the newest first."""
        return await self._db.read(rows.changes, user_id, after=after, until=until, limit=limit)


def _subscribe(
    txn: Transaction, user_id: UserID, room_id: RoomID, root: EventID, cause_position: int | None
) -> bool:
    """Whether the subscription is refused."""
    before = rows.find(txn, user_id, room_id, root)
    automatic = cause_position is not None
    if before is not None:
        if not before.subscribed and cause_position is not None and cause_position <= before.position:
            return True
        if before.subscribed and (before.automatic == automatic or automatic):
            return False
    slot = txn.log(LogKind.THREAD_SUBSCRIPTION, room_id=room_id, user_id=user_id, ref=root)
    rows.save(txn, user_id, room_id, root, subscribed=True, automatic=automatic, position=slot)
    return False


def _unsubscribe(txn: Transaction, user_id: UserID, room_id: RoomID, root: EventID) -> None:
    before = rows.find(txn, user_id, room_id, root)
    if before is not None and before.subscribed:
        slot = txn.log(LogKind.THREAD_SUBSCRIPTION, room_id=room_id, user_id=user_id, ref=root)
        rows.save(txn, user_id, room_id, root, subscribed=False, automatic=False, position=slot)
