"""A room in the memory of the one process that owns it (DESIGN idea 2): what a send and a `/sync` need, no database.

Two views of the state: `state` is what has been committed and may be shown; `head` is what the next event builds on,
which runs ahead of it by the writes that are on their way to the disk. A failed commit makes the whole object stale:
it leaves the registry, and the next use loads the room anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from homeserver.events.event import Event
from homeserver.events.power_levels import PowerLevels
from homeserver.events.push_rules import DEFAULTS, CompiledRules
from homeserver.events.room_versions import RoomVersion
from homeserver.events.state_tree import NodeHash
from homeserver.ids import EventID, RoomID, ServerName, StateKey, UserID, domain_of
from homeserver.rooms.timeline import Timeline, TimelineEvent, TransactionId
from homeserver.rooms.unread import NotifyRecord, ReadUpTo, Unread

CREATE: StateKey = ("m.room.create", "")
POWER_LEVELS: StateKey = ("m.room.power_levels", "")
JOIN_RULES: StateKey = ("m.room.join_rules", "")
HISTORY_VISIBILITY: StateKey = ("m.room.history_visibility", "")
GUEST_ACCESS: StateKey = ("m.room.guest_access", "")
TXNS_KEPT = 500
ROOTS_KEPT = 1000


def is_join(event: Event) -> bool:
    return event.type == "m.room.member" and event.content.get("membership") == "join"


class ReceiptKey(NamedTuple):
    """One place that a user has read up to; `thread_id` is "" for an unthreaded receipt."""

    user_id: UserID
    receipt_type: str
    thread_id: str


class Receipt(NamedTuple):
    """A receipt's event, when it was given, its log position, and the position of the event that it names."""

    event_id: EventID
    ts: int
    position: int
    event_position: int


@dataclass(slots=True, frozen=True)
class Head:
    """What the next event of the room builds on. A value: a write that fails puts the old one back."""

    root: NodeHash
    extremities: Mapping[EventID, int]
    """The forward extremities and their depths."""
    pending: Mapping[StateKey, Event | None] = field(default_factory=dict)
    """State events that are not committed yet."""
    last_seq: int = 0

    @property
    def depth(self) -> int:
        return max(self.extremities.values(), default=0)


class HeadState(Mapping[StateKey, Event]):
    """The state that the next event builds on: what is committed, overlaid with what is on its way."""

    __slots__ = ("_room",)

    def __init__(self, room: LiveRoom) -> None:
        self._room = room

    def __getitem__(self, key: StateKey) -> Event:
        pending = self._room.head.pending
        if pending and key in pending:
            event = pending[key]
            if event is None:
                raise KeyError(key)
            return event
        return self._room.state[key]

    def __iter__(self) -> Iterator[StateKey]:
        merged = {**self._room.state, **self._room.head.pending}
        return (key for key, event in merged.items() if event is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class LiveRoom:
    """A room's state, its recent timeline, its receipts and its readers' counts."""

    def __init__(
        self,
        room_id: RoomID,
        version: RoomVersion,
        *,
        server_name: ServerName,
        head: Head,
        nodes: dict[NodeHash, bytes],
        state: dict[StateKey, Event],
        timeline: Timeline,
        unread: Unread,
        receipts: dict[ReceiptKey, Receipt] | None = None,
        rules: dict[UserID, CompiledRules] | None = None,
        position: int = 0,
        partial_state: bool = False,
    ) -> None:
        self.room_id = room_id
        self.version = version
        self.head = head
        self.root = head.root
        """The root of the committed state."""
        self.nodes = nodes
        """The nodes of the current state tree, and of recent ones."""
        self.head_state = HeadState(self)
        self.state = state
        self.timeline = timeline
        self.unread = unread
        self.receipts = receipts or {}
        self.rules = rules or {}
        self.position = position
        self.partial_state = partial_state
        self.state_position = position
        """The log position of the last change of current state."""
        self.receipts_position = max((receipt.position for receipt in self.receipts.values()), default=0)
        self.has_older = False
        """Whether the room has history from before this server was in it: stored apart, or to be asked for."""
        self.has_gap = False
        """Whether some of that has still to be asked for."""
        self.partial_servers: frozenset[ServerName] = frozenset()
        """While the member list is not complete: the servers that are said to be in the room."""
        self.completed_at = 0
        """Where in the log the rest of the state became known, after a join that left some of it out."""
        self.stale = False
        self.held = 0
        """How many readers or receivers need the room to stay in memory."""
        self.writes_in_flight = 0
        self.transactions: dict[TransactionId, EventID] = {}
        self.visibility_at: dict[NodeHash | None, str] = {}
        """The history visibility of states that somebody looked at."""
        self.joined_at: dict[UserID, int] = {}
        """Where in the log the present stay of each local member began."""
        self.sending: set[TransactionId] = set()
        """Transactions that are on their way to the disk."""
        self.typing: dict[UserID, int] = {}
        """Who is typing, and until when (ms)."""
        self.typing_position = 0
        self.joined: set[UserID] = set()
        self.local_joined: set[UserID] = set()
        self.invited: set[UserID] = set()
        self.joined_servers: Counter[ServerName] = Counter()
        self._server_name = server_name
        self._rule_groups: dict[CompiledRules, set[UserID]] | None = None
        self._power_levels: tuple[Event | None, PowerLevels] | None = None
        for key, event in state.items():
            if key[0] == "m.room.member":
                self._count_member(UserID(key[1]), event.content.get("membership"))

    # What the room is now.

    @property
    def create_event(self) -> Event:
        return self.head_state[CREATE]

    def find_state(self, event_type: str, state_key: str = "") -> Event | None:
        return self.state.get((event_type, state_key))

    def content(self, event_type: str, state_key: str = "") -> Mapping[str, Any]:
        """The content of a state event; empty if there is none."""
        event = self.state.get((event_type, state_key))
        return {} if event is None else event.content

    @property
    def room_type(self) -> str | None:
        kind = self.content("m.room.create").get("type")
        return kind if isinstance(kind, str) else None

    @property
    def join_rule(self) -> str:
        rule = self.content("m.room.join_rules").get("join_rule")
        return rule if isinstance(rule, str) else "invite"

    @property
    def history_visibility(self) -> str:
        visibility = self.content("m.room.history_visibility").get("history_visibility")
        return visibility if isinstance(visibility, str) else "shared"

    @property
    def is_encrypted(self) -> bool:
        return ("m.room.encryption", "") in self.state

    def membership(self, user_id: str) -> str:
        """The user's current membership; "leave" if they never had one."""
        event = self.state.get(("m.room.member", user_id))
        value = None if event is None else event.content.get("membership")
        return value if isinstance(value, str) else "leave"

    def is_joined(self, user_id: str) -> bool:
        return user_id in self.joined

    @property
    def power_levels(self) -> PowerLevels:
        """The power levels that the next event is judged by."""
        event = self.head_state.get(POWER_LEVELS)
        if self._power_levels is None or self._power_levels[0] is not event:
            levels = PowerLevels.of(event, self.create_event, self.version)
            self._power_levels = (event, levels)
        return self._power_levels[1]

    @property
    def servers(self) -> list[ServerName]:
        """The servers with a joined user, the one with most users first."""
        return [server for server, _ in self.joined_servers.most_common()]

    def display_name(self, user_id: UserID) -> str | None:
        name = self.content("m.room.member", user_id).get("displayname")
        return name if isinstance(name, str) else None

    @property
    def rule_groups(self) -> Mapping[CompiledRules, set[UserID]]:
        """The local members by their push rules; those whose rules are not known yet have the server's."""
        if self._rule_groups is None:
            groups: dict[CompiledRules, set[UserID]] = {}
            for user in self.local_joined:
                rules = self.rules.get(user, DEFAULTS).in_room(self.room_id)
                groups.setdefault(rules, set()).add(user)
            self._rule_groups = groups
        return self._rule_groups

    # How it advances.

    def set_rules(self, user_id: UserID, rules: CompiledRules) -> None:
        self.rules[user_id] = rules
        self._rule_groups = None

    def advance(self, event: TimelineEvent, *, in_timeline: bool = True) -> None:
        """Take in one committed event, in log order."""
        self.position = event.position
        if event.txn_id is not None:
            self._remember_transaction(event)
        if in_timeline:
            self.timeline.append(event)
            if event.notified is not None:
                self.unread.append(NotifyRecord(event.position, event.event.sender, event.notified))

    def change_state(self, changes: Mapping[StateKey, Event | None], position: int) -> None:
        """Current state is now this, as committed at `position`."""
        self.state_position = position
        for key, event in changes.items():
            if event is None:
                self.state.pop(key, None)
            else:
                self.state[key] = event
            if key[0] == "m.room.member":
                membership = None if event is None else event.content.get("membership")
                self._count_member(UserID(key[1]), membership)
        if self.head.pending:
            pending = {k: e for k, e in self.head.pending.items() if k not in changes or changes[k] is not e}
            self.head = replace(self.head, pending=pending)

    def set_receipt(self, key: ReceiptKey, receipt: Receipt) -> None:
        self.receipts[key] = receipt
        self.receipts_position = receipt.position
        self.unread.forget(key.user_id)

    def read_up_to(self, user_id: UserID, joined_position: int = 0) -> ReadUpTo:
        """How far the user's receipts reach; nothing before they joined counts."""
        everywhere = joined_position
        threads: dict[str, int] = {}
        for receipt_type in ("m.read", "m.read.private"):
            receipt = self.receipts.get(ReceiptKey(user_id, receipt_type, ""))
            if receipt is not None:
                everywhere = max(everywhere, receipt.event_position)
        for key, receipt in self._threaded_receipts(user_id):
            threads[key.thread_id] = max(threads.get(key.thread_id, 0), receipt.event_position)
        return ReadUpTo(everywhere, threads)

    def _threaded_receipts(self, user_id: UserID) -> Iterable[tuple[ReceiptKey, Receipt]]:
        return (
            (key, receipt)
            for key, receipt in self.receipts.items()
            if key.thread_id and key.user_id == user_id
        )

    def remember_visibility(self, root: NodeHash, visibility: str) -> None:
        if len(self.visibility_at) > ROOTS_KEPT:
            self.visibility_at.clear()
        self.visibility_at[root] = visibility

    def _remember_transaction(self, event: TimelineEvent) -> None:
        if event.txn_id is None:
            return
        key = TransactionId(event.event.sender, event.device_id, event.txn_id)
        self.transactions[key] = event.event.event_id
        if len(self.transactions) > 2 * TXNS_KEPT:
            for old in list(self.transactions)[:TXNS_KEPT]:
                del self.transactions[old]

    def _count_member(self, user_id: UserID, membership: object) -> None:
        server = domain_of(user_id)
        if membership == "join":
            if user_id not in self.joined:
                self.joined.add(user_id)
                self.joined_servers[server] += 1
                if server == self._server_name:
                    self.local_joined.add(user_id)
                    self._rule_groups = None
        elif user_id in self.joined:
            self.joined.discard(user_id)
            self.local_joined.discard(user_id)
            self.rules.pop(user_id, None)
            self._rule_groups = None
            self.unread.forget(user_id)
            self.joined_servers[server] -= 1
            if self.joined_servers[server] <= 0:
                del self.joined_servers[server]
        if membership == "invite":
            self.invited.add(user_id)
        else:
            self.invited.discard(user_id)

    def approximate_bytes(self) -> int:
        """What the room weighs in the registry's budget."""
        state = sum(event.size for event in self.state.values())
        timeline = sum(event.event.size for event in self.timeline)
        return 4 * (state + timeline) + 300 * len(self.receipts) + 4096
