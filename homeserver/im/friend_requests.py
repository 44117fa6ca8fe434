"""Friend requests: an invitation to a room of two, or a knock on one that was left; answering is joining or leaving.

What is decided here binds this server's users. The truth is in the rooms, so it makes no difference which client or
server the other side answers from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from homeserver.errors import Forbidden, HearthError, InvalidParam, NotFound
from homeserver.ids import RoomID, UserID, domain_of, is_user_id
from homeserver.im import direct_rooms
from homeserver.im.contacts import Contacts
from homeserver.im.direct_rooms import MAX_MESSAGE, PENDING
from homeserver.im.errors import AlreadyFriend, InviteBlocked, RequestExpired, RequestHandled, RequestTooSoon
from homeserver.im.follower import Follower
from homeserver.im.friend_gate import AGAIN_AFTER_MS, is_over, last_refused
from homeserver.im.settings import load_in as settings_of
from homeserver.rooms.creation import NewRoom, RoomCreation, StateDraft
from homeserver.rooms.membership import Memberships
from homeserver.rooms.registry import Rooms
from homeserver.rooms.sending import Sending
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from storage import im_directs, users
from storage.database import Database
from storage.im_directs import Direct, FriendRequest
from storage.transaction import Transaction

REQUEST = direct_rooms.REQUEST

REQUESTER_LEVEL, PEER_LEVEL = 100, 50
LEVELS: dict[str, Any] = {
    "users_default": 0,
    "events_default": 0,
    "state_default": 50,
    "invite": 50,
    "kick": 50,
    "ban": 50,
    "redact": 50,
    "events": {"m.room.encryption": 100, "m.room.tombstone": 100},
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for who wants a friend, and what they note about them for themselves."""

    target: UserID
    message: str = ""
    remark: str | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class RoomShape:
    """What rooms of two are made like here."""

    version: str
    encrypted: bool
    lifetime_ms: int


class RequestWriting:
    """How requests become events."""

    def __init__(
        self,
        creation: RoomCreation,
        memberships: Memberships,
        sending: Sending,
        clock: Clock,
        randomness: Randomness,
        shape: RoomShape,
    ) -> None:
        self._creation = creation
        self._memberships = memberships
        self._sending = sending
        self._clock = clock
        self._randomness = randomness
        self._shape = shape

    def now_ms(self) -> int:
        return self._clock.now_ms()

    async def invite_to_new(self, sender: UserID, wish: Wish, old: RoomID | None) -> tuple[str, RoomID]:
        """Make a room for the two and invite the other; the request's ID and the room."""
        request_id, content = self._request(wish.message)
        creation = {} if old is None else {"predecessor": {"room_id": old}}
        state = [
            StateDraft("m.room.join_rules", {"join_rule": "knock"}),
            StateDraft("m.room.guest_access", {"guest_access": "forbidden"}),
        ]
        room = await self._creation.create(
            NewRoom(
                creator=sender,
                version=self._shape.version,
                preset="private_chat",
                creation_content=creation,
                initial_state=state,
                power_levels={**LEVELS, "users": {sender: REQUESTER_LEVEL, wish.target: PEER_LEVEL}},
                encrypted=self._shape.encrypted,
            )
        )
        try:
            await self._invite(sender, wish, room.room_id, content)
        except HearthError:
            # Nobody has been asked: nothing is left of it.
            await self._memberships.leave(room.room_id, sender)
            await self._memberships.forget(room.room_id, sender)
            raise
        return request_id, room.room_id

    async def invite_again(self, sender: UserID, wish: Wish, room_id: RoomID) -> str:
        request_id, content = self._request(wish.message)
        await self._invite(sender, wish, room_id, content)
        return request_id

    async def _invite(self, sender: UserID, wish: Wish, room_id: RoomID, content: dict[str, Any]) -> None:
        await self._memberships.invite(
            room_id,
            sender,
            wish.target,
            reason=wish.message or None,
            extra={**content, "is_direct": True},
        )

    async def knock(self, sender: UserID, wish: Wish, room_id: RoomID) -> str:
        request_id, content = self._request(wish.message)
        await self._memberships.knock(
            room_id,
            sender,
            servers=[domain_of(wish.target)],
            reason=wish.message or None,
            extra=content,
        )
        return request_id

    async def accept(self, request: FriendRequest) -> None:
        """Join, or let in who knocks; they come by themselves."""
        if request.is_knock:
            await self._memberships.invite(
                request.room_id, request.target, request.sender, extra={"is_direct": True}
            )
            if domain_of(request.sender) == domain_of(request.target):
                # Who has knocked wants to come in; those elsewhere come when their server hears of it.
                await self._memberships.join(request.room_id, request.sender)
        else:
            await self._memberships.join(request.room_id, request.target, servers=[domain_of(request.sender)])

    async def reject(self, request: FriendRequest, reason: str | None) -> None:
        if request.is_knock:
            await self._memberships.kick(request.room_id, request.target, request.sender, reason=reason)
        else:
            await self._memberships.leave(request.room_id, request.target, reason=reason)

    async def cancel(self, request: FriendRequest, reason: str | None) -> None:
        if request.is_knock:
            await self._memberships.leave(request.room_id, request.sender, reason=reason)
        else:
            await self._memberships.kick(request.room_id, request.sender, request.target, reason=reason)

    async def hand_over(
        self, room_id: RoomID, leaver: UserID, stayer: UserID, levels: dict[str, Any]
    ) -> None:
        """Whoever stays can refuse a later knock."""
        users = {**levels.get("users", {}), stayer: REQUESTER_LEVEL}
        users.pop(leaver, None)
        if levels.get("users", {}).get(leaver) == REQUESTER_LEVEL:
            await self._sending.state(room_id, leaver, "m.room.power_levels", "", {**levels, "users": users})

    async def restore(
        self, room_id: RoomID, stayer: UserID, returner: UserID, levels: dict[str, Any]
    ) -> None:
        """Whoever comes back has what the other one had at first."""
        users = levels.get("users", {})
        if users.get(stayer) == REQUESTER_LEVEL and users.get(returner, 0) < PEER_LEVEL:
            changed = {**levels, "users": {**users, returner: PEER_LEVEL}}
            await self._sending.state(room_id, stayer, "m.room.power_levels", "", changed)

    async def leave(self, room_id: RoomID, user_id: UserID, reason: str) -> None:
        await self._memberships.leave(room_id, user_id, reason=reason)

    def _request(self, message: str) -> tuple[str, dict[str, Any]]:
        request_id = f"fr_{self._randomness.token(9)}"
        expires_ms = self._clock.now_ms() + self._shape.lifetime_ms
        return request_id, {REQUEST: {"id": request_id, "expires_ts": expires_ms, "message": message}}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request."""

    request_id: str
    room_id: RoomID
    state: str
    deduplicated: bool = False


class FriendRequests:
    """Makes, lists and answers requests."""

    def __init__(
        self, db: Database, follower: Follower, writing: RequestWriting, contacts: Contacts, rooms: Rooms
    ) -> None:
        self._db = db
        self._follower = follower
        self._writing = writing
        self._contacts = contacts
        self._rooms = rooms
        self._asking: set[tuple[UserID, UserID]] = set()

    async def ask(self, sender: UserID, wish: Wish) -> Outcome:
        """Ask somebody to be a friend; who has asked already oneself is accepted.

        Raises:
            AlreadyFriend: they are one.
            RequestTooSoon: they have refused less than a day ago.
            NotFound: there is no such user.
            InviteBlocked: they want no requests.
        """
        self._check_wish(sender, wish)
        pair = (sender, wish.target)
        if pair in self._asking:
            raise RequestTooSoon("you are asking already", retry_after_ms=1000)
        self._asking.add(pair)
        try:
            return await self._ask(sender, wish)
        finally:
            self._asking.discard(pair)

    async def _ask(self, sender: UserID, wish: Wish) -> Outcome:
        await self._follower.settled()
        standing = await self._db.read(_standing, sender, wish.target, self._writing.now_ms())
        if standing.friends:
            raise AlreadyFriend(f"{wish.target} is your friend already")
        mine = standing.mine
        if mine is not None:
            return Outcome(mine.request_id, mine.room_id, mine.state, deduplicated=True)
        if standing.theirs is not None:
            await self._accept(sender, standing.theirs, remark=wish.remark, category=wish.category)
            return Outcome(standing.theirs.request_id, standing.theirs.room_id, "accepted")
        self._check_target(standing, wish.target)
        request_id, room_id = await self._write(sender, wish, standing)
        await self._contacts.note(
            sender, wish.target, room_id, remark=wish.remark, category=wish.category, source="request"
        )
        return Outcome(request_id, room_id, PENDING)

    async def _write(self, sender: UserID, wish: Wish, standing: Standing) -> tuple[str, RoomID]:
        for room in standing.rooms:
            if room.mine == "join" and room.theirs not in ("join", "ban"):
                await self._restore(room.room_id, sender, wish.target)
                return await self._writing.invite_again(sender, wish, room.room_id), room.room_id
        for room in standing.rooms:
            if room.theirs == "join" and room.mine == "leave":
                try:
                    return await self._writing.knock(sender, wish, room.room_id), room.room_id
                except (Forbidden, NotFound):
                    # Nobody is there any more, or a stock client made it so that nobody can knock: begin a new one.
                    continue
        old = standing.rooms[0].room_id if standing.rooms else None
        return await self._writing.invite_to_new(sender, wish, old)

    async def page(
        self, user_id: UserID, *, incoming: bool, before: tuple[int, int] | None, limit: int
    ) -> list[FriendRequest]:
        """Requests that the user has got or made, newest first, as they stand now."""
        await self._follower.settled()
        found = await self._db.read(
            im_directs.requests, user_id, incoming=incoming, before=before, limit=limit
        )
        now_ms = self._writing.now_ms()
        return [as_shown(request, user_id, now_ms) for request in found]

    async def accept(
        self, user_id: UserID, request_id: str, *, remark: str | None, category: str | None
    ) -> Outcome:
        """
        Raises:
            NotFound, RequestHandled, RequestExpired: there is nothing to accept.
        """
        request = await self._load(user_id, request_id, as_target=True)
        await self._accept(user_id, request, remark=remark, category=category)
        return Outcome(request.request_id, request.room_id, "accepted")

    async def reject(self, user_id: UserID, request_id: str, reason: str | None) -> Outcome:
        request = await self._load(user_id, request_id, as_target=True)
        await self._writing.reject(request, reason)
        return Outcome(request.request_id, request.room_id, "rejected")

    async def ignore(self, user_id: UserID, request_id: str) -> Outcome:
        """Hide a request without an answer."""
        request = await self._load(user_id, request_id, as_target=True)
        await self._contacts.note_request(user_id, request.room_id, request.request_id, "ignored")
        return Outcome(request.request_id, request.room_id, "ignored")

    async def cancel(self, user_id: UserID, request_id: str, reason: str | None) -> Outcome:
        request = await self._load(user_id, request_id, as_target=False)
        await self._writing.cancel(request, reason)
        return Outcome(request.request_id, request.room_id, "cancelled")

    async def reject_all(self, user_id: UserID, sender: UserID) -> None:
        """Refuse whatever somebody asks just now."""
        await self._follower.settled()
        for request in await self._db.read(im_directs.pending_between, user_id, sender):
            if request.target == user_id:
                await self._writing.reject(request, None)

    async def _accept(
        self, user_id: UserID, request: FriendRequest, *, remark: str | None, category: str | None
    ) -> None:
        if request.is_knock:
            await self._restore(request.room_id, user_id, request.sender)
        await self._writing.accept(request)
        await self._contacts.note(
            user_id, request.sender, request.room_id, remark=remark, category=category, source="accepted"
        )

    async def _restore(self, room_id: RoomID, stayer: UserID, returner: UserID) -> None:
        room = await self._rooms.load(room_id)
        await self._writing.restore(room_id, stayer, returner, dict(room.content("m.room.power_levels")))

    async def _load(self, user_id: UserID, request_id: str, *, as_target: bool) -> FriendRequest:
        await self._follower.settled()
        request = await self._db.read(im_directs.find_request, request_id, user_id)
        if request is None or (request.target if as_target else request.sender) != user_id:
            raise NotFound(f"no friend request {request_id[:64]}")
        if request.state == direct_rooms.EXPIRED or is_over(request, self._writing.now_ms()):
            raise RequestExpired("the request has expired")
        if request.state != PENDING:
            raise RequestHandled(f"the request has been {request.state} already")
        return request

    @staticmethod
    def _check_wish(sender: UserID, wish: Wish) -> None:
        if not is_user_id(wish.target):
            raise InvalidParam(f"{wish.target!r} is not a user ID")
        if wish.target == sender:
            raise InvalidParam("you are your own friend already")
        if len(wish.message) > MAX_MESSAGE:
            raise InvalidParam(f"a message has at most {MAX_MESSAGE} characters")

    def _check_target(self, standing: Standing, target: UserID) -> None:
        if not standing.exists:
            raise NotFound(f"no user {target}")
        if not standing.accepts:
            raise InviteBlocked(f"{target} takes no friend requests")
        if standing.refused is not None:
            left_ms = standing.refused.created_ms + AGAIN_AFTER_MS - self._writing.now_ms()
            raise RequestTooSoon("your last request was not taken up", retry_after_ms=left_ms)


@dataclass(frozen=True, slots=True)
class Standing:
    """How two people stand to each other, from the side of the first."""

    rooms: list[Direct]
    mine: FriendRequest | None
    theirs: FriendRequest | None
    refused: FriendRequest | None
    exists: bool
    accepts: bool

    @property
    def friends(self) -> bool:
        return any(room.friends for room in self.rooms)


def _standing(txn: Transaction, user_id: UserID, other: UserID, now_ms: int) -> Standing:
    rooms = im_directs.between(txn, user_id, other)
    alive = [r for r in im_directs.pending_between(txn, user_id, other) if not is_over(r, now_ms)]
    # Only of our own users can we tell, and refuse, beforehand.
    is_ours = domain_of(other) == domain_of(user_id)
    account = users.find(txn, other) if is_ours else None
    return Standing(
        rooms,
        next((request for request in alive if request.sender == user_id), None),
        next((request for request in alive if request.sender == other), None),
        last_refused(txn, user_id, other, now_ms),
        exists=not is_ours or (account is not None and not account.is_deactivated and not account.is_guest),
        accepts=not is_ours or settings_of(txn, other)["who_can_add_me"] == "everybody",
    )


def as_shown(request: FriendRequest, viewer: UserID, now_ms: int) -> FriendRequest:
    """A request as one of the two sees it: what is over is expired, what they ignore is ignored."""
    if is_over(request, now_ms):
        return request._replace(state=direct_rooms.EXPIRED)
    if request.state == PENDING and request.ignored and viewer == request.target:
        return request._replace(state="ignored")
    return request
