"""What a user keeps about each friend: a remark, a category, and the list of direct rooms that all clients share."""

from __future__ import annotations

from typing import Any

from homeserver.errors import InvalidParam, NotFound
from homeserver.ids import NAMESPACE, RoomID, UserID
from homeserver.im.direct_rooms import REQUEST
from homeserver.im.own_data import OwnData, change_in, find
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from storage import im_directs
from storage.database import Database
from storage.im_circles import CONTACT
from storage.transaction import Transaction

CATEGORIES = f"{NAMESPACE}categories"
DIRECT = "m.direct"
DEFAULT = "default"
MAX_REMARK = 100
MAX_CATEGORIES = 100


class Contacts:
    """Writes what a user keeps."""

    def __init__(self, db: Database, own: OwnData, clock: Clock, randomness: Randomness) -> None:
        self._db = db
        self._own = own
        self._clock = clock
        self._randomness = randomness

    async def note(
        self,
        user_id: UserID,
        peer: UserID,
        room_id: RoomID,
        *,
        remark: str | None = None,
        category: str | None = None,
        source: str | None = None,
    ) -> None:
        """Keep the room as the one with `peer`, and what is said about them; None leaves a part as it is.

        Raises:
            NotFound: there is no such category.
            InvalidParam: the remark is too long.
        """
        if remark is not None and len(remark) > MAX_REMARK:
            raise InvalidParam(f"a remark has at most {MAX_REMARK} characters")
        now_ms = self._clock.now_ms()
        await self._db.run(_note, user_id, peer, room_id, remark, category, source, now_ms)

    async def note_request(self, user_id: UserID, room_id: RoomID, request_id: str, state: str) -> None:
        """Keep what the receiver of a request thinks of it."""
        await self._own.merge(user_id, room_id, REQUEST, {"id": request_id, "state": state})

    async def categories(self, user_id: UserID) -> list[dict[str, Any]]:
        """The user's categories in their order; the default one is first and always there."""
        return await self._db.read(_categories, user_id)

    async def add_category(self, user_id: UserID, name: str, order: int | None) -> dict[str, Any]:
        """
        Raises:
            InvalidParam: the name is none, or there are too many.
        """
        name = _checked_name(name)
        added = {"id": f"c_{self._randomness.token(6)}", "name": name}

        def change(content: dict[str, Any]) -> dict[str, Any]:
            present = _listed(content)
            if len(present) >= MAX_CATEGORIES:
                raise InvalidParam(f"you cannot have more than {MAX_CATEGORIES} categories")
            added["order"] = len(present) + 1 if order is None else order  # type: ignore[assignment]  # a number
            return {**content, "categories": [*present, added]}

        await self._own.change(user_id, None, CATEGORIES, change)
        return added

    async def change_category(
        self, user_id: UserID, category: str, name: str | None, order: int | None
    ) -> dict[str, Any]:
        """
        Raises:
            InvalidParam: it is the default one.
            NotFound: there is none.
        """
        _check_own(category)
        changes: dict[str, Any] = {"name": None if name is None else _checked_name(name), "order": order}
        changes = {key: value for key, value in changes.items() if value is not None}
        found: dict[str, Any] = {}

        def change(content: dict[str, Any]) -> dict[str, Any]:
            present = _listed(content)
            index = _index(present, category)
            present[index] = {**present[index], **changes}
            found.update(present[index])
            return {**content, "categories": present}

        await self._own.change(user_id, None, CATEGORIES, change)
        return found

    async def delete_category(self, user_id: UserID, category: str) -> None:
        """Take a category away; whoever was in it is in the default one now.

        Raises:
            InvalidParam: it is the default one.
            NotFound: there is none.
        """
        _check_own(category)
        await self._db.run(_delete_category, user_id, category)


def _note(
    txn: Transaction,
    user_id: UserID,
    peer: UserID,
    room_id: RoomID,
    remark: str | None,
    category: str | None,
    source: str | None,
    now_ms: int,
) -> None:
    if category is not None and all(each["id"] != category for each in _categories(txn, user_id)):
        raise NotFound(f"no category {category[:64]}")

    def contact(content: dict[str, Any]) -> dict[str, Any]:
        changed = {**content}
        if source is not None:
            changed.setdefault("source", source)
            changed.setdefault("added_ts", now_ms)
        if remark is not None:
            changed["remark"] = remark
        if category is not None:
            changed["category_id"] = category
        return {key: value for key, value in changed.items() if value != ""}

    def direct(content: dict[str, Any]) -> dict[str, Any]:
        rooms = content.get(peer)
        known = rooms if isinstance(rooms, list) else []
        return content if room_id in known else {**content, peer: [room_id, *known]}

    change_in(txn, user_id, room_id, CONTACT, contact)
    change_in(txn, user_id, None, DIRECT, direct)


def _delete_category(txn: Transaction, user_id: UserID, category: str) -> None:
    def without(content: dict[str, Any]) -> dict[str, Any]:
        present = _listed(content)
        del present[_index(present, category)]
        return {**content, "categories": present}

    change_in(txn, user_id, None, CATEGORIES, without)
    for friend in im_directs.in_category(txn, user_id, category):
        change_in(
            txn,
            user_id,
            friend.room_id,
            CONTACT,
            lambda content: {key: value for key, value in content.items() if key != "category_id"},
        )


def _categories(txn: Transaction, user_id: UserID) -> list[dict[str, Any]]:
    own = sorted(_listed(find(txn, user_id, None, CATEGORIES)), key=lambda each: (each["order"], each["id"]))
    return [{"id": DEFAULT, "name": "", "order": 0}, *own]


def _listed(content: dict[str, Any]) -> list[dict[str, Any]]:
    listed = content.get("categories")
    return [
        {**each, "order": each["order"] if isinstance(each.get("order"), int) else 0}
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict) and isinstance(each.get("id"), str) and isinstance(each.get("name"), str)
    ]


def _index(present: list[dict[str, Any]], category: str) -> int:
    for index, each in enumerate(present):
        if each["id"] == category:
            return index
    raise NotFound(f"no category {category[:64]}")


def _check_own(category: str) -> None:
    if category == DEFAULT:
        raise InvalidParam("the default category stays as it is")


def _checked_name(name: str) -> str:
    if not name.strip() or len(name) > 50:
        raise InvalidParam("a category has a name of at most 50 characters")
    return name.strip()
