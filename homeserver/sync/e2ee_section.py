"""What `/sync` says of encryption: messages for the device, whose keys have changed, and what is left of one's own.

Spec: https://spec.matrix.org/v1.19/client-server-api/#e2e-extensions-to-sync
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from homeserver.e2ee.device_lists import Changes, DeviceLists
from homeserver.e2ee.inboxes import Inboxes
from homeserver.e2ee.keys_left import KeysLeft
from homeserver.http.requester import Requester
from homeserver.ids import DeviceID, UserID
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.composer import Extra
from homeserver.sync.feeds import Feed
from homeserver.sync.request import SyncRequest

_encode = msgspec.json.encode
_NOTHING = Extra((), is_news=False)


class EncryptionSections:
    """The sections, and the parts of them that other transports ask for."""

    def __init__(self, inboxes: Inboxes, device_lists: DeviceLists, keys_left: KeysLeft) -> None:
        self._inboxes = inboxes
        self._device_lists = device_lists
        self._keys_left = keys_left

    async def standing(self, request: SyncRequest) -> Sequence[bytes]:
        """How many keys the device has left: a client takes silence for none."""
        device_id = request.device_id
        if device_id is None:
            return ()
        # Before anything is acknowledged, it must be known whether anything is there that could be deleted.
        await self._inboxes.open(request.user_id, device_id)
        self._acknowledge(request, device_id)
        return await self.keys_left(request.user_id, device_id)

    def ready(self, feed: Feed, request: SyncRequest, until: StreamToken) -> Extra | None:
        """The sections, if nothing but the number of keys left is to be told, and that is known."""
        device_id, since = request.device_id, request.since
        if since is None or device_id is None or not self._inboxes.is_empty(request.user_id, device_id):
            return None
        if self._may_have_changed(feed, since.position):
            return None
        left = self._keys_left.find(request.user_id, device_id)
        return None if left is None else Extra(left.sections, is_news=False)

    async def sections(self, feed: Feed, request: SyncRequest, until: StreamToken) -> Extra:
        parts: list[bytes] = []
        to_device = None
        device_id, since = request.device_id, request.since
        if since is not None:
            changes = await self.changes(feed, since.position, until.position)
            if changes is not None:
                parts.append(b'"device_lists":%b' % _encode(_shown(changes)))
        if device_id is not None and not self._inboxes.is_empty(request.user_id, device_id):
            pending = await self._inboxes.pending(
                request.user_id,
                device_id,
                0 if since is None else since.received,
                until=until.position,
            )
            to_device = pending.last
            self._acknowledge(request, device_id)
            if pending.messages:
                parts.append(b'"to_device":{"events":[%b]}' % b",".join(pending.messages))
        is_news = bool(parts)
        if device_id is not None:
            parts += await self.keys_left(request.user_id, device_id)
        return Extra(parts, is_news, to_device) if parts else _NOTHING

    async def changes(self, feed: Feed, after: int, until: int) -> Changes | None:
        """Whose keys have changed for the feed's user in (after, until], and who has left; None if nobody."""
        if not self._may_have_changed(feed, after):
            return None
        changes = await self._device_lists.changes(feed.user_id, after, until)
        return changes if changes.changed or changes.left else None

    def _may_have_changed(self, feed: Feed, after: int) -> bool:
        if feed.device_lists > after:
            return True
        if not self._device_lists.has_moved(after):
            return False
        moved = self._device_lists.moved_since(after)
        return moved is None or any(room in feed.rooms for room in moved)

    async def keys_left(self, user_id: UserID, device_id: DeviceID) -> tuple[bytes, bytes]:
        """The two sections about the device's own keys."""
        left = self._keys_left.find(user_id, device_id) or await self._keys_left.load(user_id, device_id)
        return left.sections

    async def acknowledge(self, who: Requester, position: int) -> None:
        """The requester's device has its messages up to a position, as it has said in some other way."""
        if who.device_id is not None:
            self._inboxes.acknowledge(who.user_id, who.device_id, position)

    def _acknowledge(self, request: SyncRequest, device_id: DeviceID) -> None:
        if request.since is not None and request.is_acknowledged:
            self._inboxes.acknowledge(request.user_id, device_id, request.since.received)


def _shown(changes: Changes) -> dict[str, list[UserID]]:
    return {"changed": sorted(changes.changed), "left": sorted(changes.left)}
