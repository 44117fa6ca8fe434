"""What people do in rooms, as data: Hypothesis draws a play of them and shrinks it when it goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.harness.refusals import Refused
from tests.harness.server import Server
from tests.harness.user import User

VISIBILITIES = ("joined", "invited", "shared", "world_readable")
JOIN_RULES = ("invite", "public", "knock")


@dataclass(frozen=True, slots=True)
class Act:
    """Somebody (`who`) does `verb`, in one of the rooms, to somebody or something."""

    verb: str
    who: int
    room: int = 0
    whom: int = 0
    what: int = 0

    def __repr__(self) -> str:
        return f"Act({self.verb!r}, {self.who}, {self.room}, {self.whom}, {self.what})"


# How often each is done, relative to the others.
VERBS = {
    "says": 12, "joins": 8, "leaves": 4, "invites": 6, "kicks": 2, "bans": 2, "unbans": 2, "knocks": 2, "forgets": 1,
    "names": 2, "shows history": 3, "opens": 2, "redacts": 2, "reads": 4, "types": 2, "answers in a thread": 2,
    "reacts": 2, "tags": 1, "keeps": 1, "renames": 1, "syncs": 12, "waits": 2, "restarts": 1, "ignores": 1,
    "gives power": 1, "mentions": 2,
}  # fmt: skip

PEOPLE = 4
ROOMS = 2

acts = st.lists(
    st.builds(
        Act,
        st.sampled_from([verb for verb, weight in VERBS.items() for _ in range(weight)]),
        st.integers(0, PEOPLE - 1),
        st.integers(0, ROOMS - 1),
        st.integers(0, PEOPLE - 1),
        st.integers(0, 5),
    ),
    min_size=10,
    max_size=70,
)


class Stage:
    """The people and rooms of one play."""

    def __init__(self, server: Server, people: Sequence[User], rooms: Sequence[str]) -> None:
        self._server = server
        self.people = people
        self.rooms = rooms
        self.said: list[tuple[str, str]] = []
        self._said_by: dict[str, str] = {}

    async def perform(self, act: Act) -> None:
        """Do it; whoever may not is refused, and nothing has happened."""
        try:
            await self._perform(act, self.people[act.who], self.rooms[act.room], self.people[act.whom])
        except Refused as refusal:
            assert refusal.status in (400, 403, 404), refusal

    def _event(self, act: Act) -> str:
        """One of the last things said in the room."""
        here = [event_id for room, event_id in self.said if room == self.rooms[act.room]]
        return here[-1 - act.what % len(here)] if here else "$nothing"

    def _remember(self, room: str, event_id: str) -> None:
        self.said.append((room, event_id))

    async def _perform(self, act: Act, who: User, room: str, whom: User) -> None:
        match act.verb:
            case "says":
                self._remember(room, await who.says(room, f"{len(self.said)}"))
            case "mentions":
                mentions = {"m.mentions": {"user_ids": [whom.user_id]}}
                self._remember(room, await who.says(room, f"{len(self.said)} {whom.user_id}", **mentions))
            case "answers in a thread":
                relation = {"rel_type": "m.thread", "event_id": self._event(act)}
                self._remember(room, await who.says(room, f"{len(self.said)}", **{"m.relates_to": relation}))
            case "reacts":
                relation = {"rel_type": "m.annotation", "event_id": self._event(act), "key": str(act.what)}
                await who.sends(room, "m.reaction", {"m.relates_to": relation})
            case "redacts":
                await who.redacts(room, self._event(act))
            case "reads":
                kind = "m.read" if act.what % 2 else "m.read.private"
                await who.reads(room, self._event(act), receipt_type=kind)
            case "types":
                await who.types_in(room, timeout_ms=2_000)
            case _:
                await self._come_or_go(act, who, room, whom)

    async def _come_or_go(self, act: Act, who: User, room: str, whom: User) -> None:
        match act.verb:
            case "joins":
                await who.joins(room)
            case "leaves":
                await who.leaves(room)
            case "forgets":
                await who.forgets(room)
            case "knocks":
                await who.knocks(room)
            case "invites":
                await who.invites(room, whom)
            case "kicks":
                await who.kicks(room, whom)
            case "bans":
                await who.bans(room, whom)
            case "unbans":
                await who.unbans(room, whom)
            case _:
                await self._arrange(act, who, room, whom)

    async def _arrange(self, act: Act, who: User, room: str, whom: User) -> None:
        match act.verb:
            case "names":
                await who.sets(room, "m.room.name", {"name": f"room {act.what}"})
            case "shows history":
                visibility = VISIBILITIES[act.what % len(VISIBILITIES)]
                await who.sets(room, "m.room.history_visibility", {"history_visibility": visibility})
            case "opens":
                await who.sets(
                    room, "m.room.join_rules", {"join_rule": JOIN_RULES[act.what % len(JOIN_RULES)]}
                )
            case "gives power":
                levels: dict[str, Any] = await who.state(room, "m.room.power_levels")
                users = {**levels.get("users", {}), whom.user_id: 50 if act.what % 2 else 0}
                await who.sets(room, "m.room.power_levels", {**levels, "users": users})
            case "tags":
                path = f"/user/{who.user_id}/rooms/{room}/tags/u.tag{act.what}"
                await who.request("DELETE" if act.what % 3 == 0 else "PUT", path, {"order": 0.5})
            case "keeps":
                await who.keeps("org.example.kept", {"what": act.what}, room=room if act.what % 2 else None)
            case "ignores":
                ignored: dict[str, Any] = {whom.user_id: {}} if act.what % 2 and whom is not who else {}
                await who.keeps("m.ignored_user_list", {"ignored_users": ignored})
            case "renames":
                await who.sets_profile("displayname", f"name {act.what}")
            case "syncs":
                await who.syncs()
            case "waits":
                await self._server.passes(act.what)
            case "restarts":
                await self._server.restarts()
            case _:
                raise AssertionError(f"nobody knows how one {act.verb}")
