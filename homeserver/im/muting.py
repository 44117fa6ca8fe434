"""Do not disturb: push rules, which every client of the user knows, and a timer for those that end.

`all` silences a room altogether, `mentions` lets through what names the user.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from homeserver.errors import NotFound
from homeserver.ids import NAMESPACE, RoomID, UserID, is_room_id
from homeserver.im.own_data import OwnData
from homeserver.runtime.clock import Clock
from homeserver.users.push_rules import Kind, NewRule, PushRules
from storage.database import Database
from storage.jobs import BackgroundJob, BackgroundJobs, Progress
from storage.transaction import Transaction

Mute = Literal["off", "mentions", "all"]
UNMUTE = "im_unmute"
CONVERSATION = f"{NAMESPACE}conversation"


class Muting:
    """Mutes conversations."""

    def __init__(
        self, db: Database, rules: PushRules, own: OwnData, background: BackgroundJobs, clock: Clock
    ) -> None:
        self._db = db
        self._rules = rules
        self._own = own
        self._background = background
        self._clock = clock
        background.register(UNMUTE, self._unmute)

    async def of(self, user_id: UserID) -> Mapping[RoomID, Mute]:
        """The rooms that the user has muted, and how."""
        rules = await self._rules.load(user_id)
        found: dict[RoomID, Mute] = {}
        for rule in rules["room"]:
            if rule.get("enabled") and not notifies(rule) and is_room_id(rule["rule_id"]):
                found[RoomID(rule["rule_id"])] = "mentions"
        for rule in rules["override"]:
            if rule.get("enabled") and not notifies(rule) and is_room_id(rule["rule_id"]):
                found[RoomID(rule["rule_id"])] = "all"
        return found

    async def set(self, user_id: UserID, cid: RoomID, mute: Mute, until_ms: int | None) -> None:
        """Mute a conversation, until some time if one is given, or no longer."""
        if mute == "all":
            same_room = {"kind": "event_match", "key": "room_id", "pattern": cid}
            await self._rules.set_rule(user_id, "override", NewRule(cid, [], [same_room]))
        else:
            await self._delete(user_id, "override", cid)
        if mute == "mentions":
            await self._rules.set_rule(user_id, "room", NewRule(cid, []))
        else:
            await self._delete(user_id, "room", cid)
        until_ms = None if mute == "off" else until_ms
        await self._own.merge(user_id, cid, CONVERSATION, {"mute_until": until_ms})
        if until_ms is not None:
            await self._db.run(self._schedule, user_id, cid, until_ms)

    async def _delete(self, user_id: UserID, kind: Kind, cid: RoomID) -> None:
        try:
            await self._rules.delete_rule(user_id, kind, cid)
        except NotFound:
            return

    def _schedule(self, txn: Transaction, user_id: UserID, cid: RoomID, until_ms: int) -> None:
        delay_ms = max(until_ms - self._clock.now_ms(), 0)
        arguments = {"user": user_id, "cid": cid, "until": until_ms}
        name = f"{UNMUTE} {user_id} {cid} {until_ms}"
        self._background.schedule(txn, name, UNMUTE, arguments, delay_ms=delay_ms)

    async def _unmute(self, job: BackgroundJob) -> Progress | None:
        """The time is up, unless the user has said something else meanwhile."""
        user_id, cid = UserID(job.arguments["user"]), RoomID(job.arguments["cid"])
        kept = await self._own.load(user_id, cid, CONVERSATION)
        if kept.get("mute_until") == job.arguments["until"]:
            await self.set(user_id, cid, "off", None)
        return None


def notifies(rule: Mapping[str, Any]) -> bool:
    return "notify" in rule.get("actions", ())
