"""Encryption beside the rooms of a sliding-sync answer: messages for the device, device lists, and keys left.

To-device messages have a token of their own; a request that carries it has everything before it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.e2ee.inboxes import MESSAGES_PER_ANSWER, Inboxes
from homeserver.errors import InvalidParam
from homeserver.sync.e2ee_section import EncryptionSections
from homeserver.sync.sliding.engine import Scope


class ToDeviceExtension:
    """Messages for the device, the oldest first, until the client says that it has them."""

    names = ("to_device",)

    def __init__(self, inboxes: Inboxes) -> None:
        self._inboxes = inboxes

    async def answer(self, scope: Scope, config: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        user_id, device_id = scope.request.user_id, scope.request.device_id
        since, limit = config.get("since"), config.get("limit", MESSAGES_PER_ANSWER)
        if since is not None and not (isinstance(since, str) and since.isdecimal() and len(since) < 19):
            raise InvalidParam("to_device: since is not a token of this server")
        if not isinstance(limit, int) or limit < 1:
            raise InvalidParam("to_device: limit must be a positive number")
        after = int(since or 0)
        if device_id is None:
            return {"next_batch": str(after), "events": []}, False
        await self._inboxes.open(user_id, device_id)
        if since is not None:
            self._inboxes.acknowledge(user_id, device_id, after)
        until = scope.until.position
        pending = await self._inboxes.pending(
            user_id, device_id, after, until=until, limit=min(limit, MESSAGES_PER_ANSWER)
        )
        last = until if pending.last is None else pending.last
        events = [msgspec.Raw(message) for message in pending.messages]
        return {"next_batch": str(max(after, last)), "events": events}, bool(events)


class EncryptionExtension:
    """Whose devices have changed, and how many keys the device has left."""

    names = ("e2ee",)

    def __init__(self, sections: EncryptionSections) -> None:
        self._sections = sections

    async def answer(self, scope: Scope, config: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        answer: dict[str, Any] = {}
        before = scope.progress.extensions.get("e2ee")
        is_news = False
        if before is not None:
            changes = await self._sections.changes(scope.feed, before, scope.until.position)
            if changes is not None:
                answer["device_lists"] = {"changed": sorted(changes.changed), "left": sorted(changes.left)}
                is_news = True
        scope.progress.extensions["e2ee"] = scope.until.position
        device_id = scope.request.device_id
        if device_id is not None:
            parts = await self._sections.keys_left(scope.request.user_id, device_id)
            answer.update(msgspec.json.decode(b"{%b}" % b",".join(parts)))
        return answer, is_news
