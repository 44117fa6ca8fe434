"""Invite links: whoever has one joins the group, or asks to.

A link is an `m.room.third_party_invite` whose key the link stands for: the room's state shows the public half, and the
server that holds the private half signs for whoever comes with the link. So every server can check the invitation,
and revoking a link is an event that every server sees.
Spec: https://spec.matrix.org/v1.19/client-server-api/#mroomthird_party_invite
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.errors import Forbidden, InvalidParam, MatrixError, NotFound
from homeserver.events.signatures import SigningKey, sign_json
from homeserver.ids import RoomID, ServerName, UserID, is_room_id
from homeserver.im.group_members import GroupMembers
from homeserver.im.group_shapes import ADMIN, LinkInvalid, is_dissolved
from homeserver.im.groups import Groups, summary
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.sending import Sending
from homeserver.rooms.writer import Draft, RoomWriter
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from storage import im_invite_links as link_rows
from storage.database import Database
from storage.im_invite_links import InviteLink

THIRD_PARTY = "m.room.third_party_invite"
DEFAULT_LIFETIME_MS = 7 * 86_400_000


class LinkToken(msgspec.Struct, array_like=True):
    """What a link's URL carries: enough for any server to find the room and whom to ask."""

    room_id: str
    via: list[str]
    link_id: str

    def encode(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).rstrip(b"=").decode("ascii")

    @classmethod
    def parse(cls, text: str) -> LinkToken:
        """
        Raises:
            LinkInvalid: it is none.
        """
        try:
            token = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=cls)
        except (ValueError, msgspec.DecodeError) as error:
            raise LinkInvalid("this is no invite link") from error
        if not is_room_id(token.room_id):
            raise LinkInvalid("this is no invite link")
        return token


@dataclass(slots=True, frozen=True)
class LinkSettings:
    """What the configuration says of links. `base_url` ends in a slash."""

    server_name: ServerName
    base_url: str
    longest_ms: int


class LinkKeys:
    """The time and the chance that links are made of."""

    def __init__(self, clock: Clock, random: Randomness) -> None:
        self._clock = clock
        self._random = random

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def link(self) -> tuple[str, bytes]:
        """An ID and a seed."""
        return self._random.token(12), self._random.bytes(32)


class GroupLinks:
    """Makes, shows, redeems and revokes invite links."""

    def __init__(
        self,
        db: Database,
        groups: Groups,
        members: GroupMembers,
        writing: LinkWriting,
        keys: LinkKeys,
        settings: LinkSettings,
    ) -> None:
        self._db = db
        self._groups = groups
        self._members = members
        self._writing = writing
        self._keys = keys
        self._settings = settings

    async def create(
        self, gid: RoomID, user_id: UserID, *, lifetime_ms: int | None, max_uses: int | None, approval: bool
    ) -> dict[str, Any]:
        """
        Raises:
            Forbidden: the user may not invite.
            InvalidParam: so long no link lives, or this group lets nobody ask.
        """
        room = await self._groups.load_joined(gid, user_id)
        lifetime = DEFAULT_LIFETIME_MS if lifetime_ms is None else lifetime_ms
        if not 0 < lifetime <= self._settings.longest_ms:
            raise InvalidParam(f"expires_in must be at most {self._settings.longest_ms // 1000} seconds")
        if max_uses is not None and max_uses < 1:
            raise InvalidParam("max_uses must be at least 1")
        if approval and room.join_rule not in ("knock", "knock_restricted"):
            raise InvalidParam("a link with approval needs a group that lets people ask (join_mode approval)")
        levels = room.power_levels
        if levels.user(user_id) < levels.event(THIRD_PARTY, is_state=True):
            raise Forbidden("only the owner and admins invite into this group")
        link_id, seed = self._keys.link()
        now_ms = self._keys.now_ms()
        link = InviteLink(
            link_id, gid, user_id, seed, now_ms, now_ms + lifetime, max_uses, 0, approval, revoked=False
        )
        if not approval:
            await self._writing.show(link, self._settings.base_url)
        await self._db.run(link_rows.insert, link)
        return self._view(link)

    async def list_of_group(self, gid: RoomID, user_id: UserID) -> list[dict[str, Any]]:
        """The links that work: an admin sees all, others their own."""
        room = await self._groups.load_joined(gid, user_id)
        links = await self._db.read(link_rows.list_of_room, gid, self._keys.now_ms())
        sees_all = room.power_levels.user(user_id) >= ADMIN
        return [self._view(link) for link in links if sees_all or link.creator == user_id]

    async def url(self, gid: RoomID, user_id: UserID, link_id: str) -> str:
        """What the QR code of a link says.

        Raises:
            LinkInvalid: it does not work (any more), or is not the user's to see.
        """
        shown = [link for link in await self.list_of_group(gid, user_id) if link["link_id"] == link_id]
        if not shown:
            raise LinkInvalid("this link does not work any more")
        return str(shown[0]["url"])

    async def revoke(self, gid: RoomID, user_id: UserID, link_id: str) -> None:
        """
        Raises:
            LinkInvalid: there is no such link.
            Forbidden: it is somebody else's, and the user no admin.
        """
        room = await self._groups.load_joined(gid, user_id)
        link = await self._db.read(link_rows.find, link_id)
        if link is None or link.room_id != gid or link.revoked:
            raise LinkInvalid("there is no such link")
        if link.creator != user_id and room.power_levels.user(user_id) < ADMIN:
            raise Forbidden("only admins revoke the links of others")
        await self._end(room, link)

    async def preview(self, text: str) -> dict[str, Any]:
        """What somebody sees who has a link, before joining.

        Raises:
            LinkInvalid: it does not work (any more).
        """
        link, room = await self._load(text)
        shown = summary(room)
        kept = ("gid", "number", "name", "description", "avatar", "member_count", "join_mode")
        return {
            **{key: shown[key] for key in kept},
            "invited_by": link.creator,
            "approval": link.approval,
            "expires_ts": link.expires_ms,
        }

    async def redeem(self, text: str, user_id: UserID) -> dict[str, Any]:
        """Join by a link, or ask to.

        Raises:
            LinkInvalid: it does not work (any more).
            Forbidden: the user is banned from the group.
        """
        link, room = await self._load(text)
        gid = link.room_id
        if room.is_joined(user_id):
            return {"gid": gid, "state": "joined"}
        if not await self._db.run(link_rows.use, link.link_id, self._keys.now_ms()):
            raise LinkInvalid("this link does not work any more")
        try:
            if link.approval:
                state = await self._members.ask_to_join(gid, user_id, None, ())
            else:
                await self._writing.invite(room, link, user_id, self._settings.server_name)
                state = await self._members.answer_invitation(gid, user_id, accept=True)
        except MatrixError:
            await self._db.run(link_rows.give_back, link.link_id)
            raise
        used = await self._db.read(link_rows.find, link.link_id)
        if used is not None and used.max_uses is not None and used.uses >= used.max_uses:
            await self._end(room, used)
        return {"gid": gid, "state": state}

    async def is_valid(self, public_key: str) -> bool:
        """Whether a link of ours has this key and works; other servers may ask."""
        return await self._writing.is_valid(self._db, public_key, self._keys.now_ms())

    async def _load(self, text: str) -> tuple[InviteLink, LiveRoom]:
        token = LinkToken.parse(text)
        link = await self._db.read(link_rows.find, token.link_id)
        if link is None or link.revoked or link.room_id != token.room_id:
            raise LinkInvalid("this link does not work any more")
        if link.expires_ms <= self._keys.now_ms() or (
            link.max_uses is not None and link.uses >= link.max_uses
        ):
            raise LinkInvalid("this link does not work any more")
        try:
            room = await self._groups.load(link.room_id)
        except NotFound as error:
            raise LinkInvalid("this link leads nowhere any more") from error
        if is_dissolved(room) or not room.is_joined(link.creator):
            raise LinkInvalid("this link leads nowhere any more")
        return link, room

    async def _end(self, room: LiveRoom, link: InviteLink) -> None:
        await self._db.run(link_rows.revoke, link.link_id)
        if (THIRD_PARTY, link.link_id) in room.state:
            await self._writing.hide(room, link)

    def _view(self, link: InviteLink) -> dict[str, Any]:
        via: list[str] = [self._settings.server_name]
        token = LinkToken(link.room_id, via, link.link_id).encode()
        return {
            "link_id": link.link_id,
            "token": token,
            "url": f"{self._settings.base_url}#/join/{token}",
            "matrix_uri": f"matrix:roomid/{link.room_id[1:]}?action=join&via={via[0]}",
            "qr_svg_url": f"/im/v1/groups/{link.room_id}/invite-links/{link.link_id}/qr.svg",
            "creator": link.creator,
            "created_ts": link.created_ms,
            "expires_ts": link.expires_ms,
            "max_uses": link.max_uses,
            "uses": link.uses,
            "approval": link.approval,
        }


class LinkWriting:
    """The events of links."""

    def __init__(self, sending: Sending, writer: RoomWriter) -> None:
        self._sending = sending
        self._writer = writer

    async def show(self, link: InviteLink, base_url: str) -> None:
        """Let the room know the link's key."""
        public = SigningKey.of("0", link.seed).public_base64
        validity = f"{base_url}im/v1/invite-keys/valid"
        content = {
            "display_name": "invite link",
            "public_key": public,
            "key_validity_url": validity,
            "public_keys": [{"public_key": public, "key_validity_url": validity}],
        }
        await self._sending.state(link.room_id, link.creator, THIRD_PARTY, link.link_id, content)

    async def hide(self, room: LiveRoom, link: InviteLink) -> None:
        """Take the key back, as the link's maker or else as an admin."""
        levels = room.power_levels
        admins = [user for user in sorted(room.local_joined) if levels.user(user) >= ADMIN]
        for user in dict.fromkeys([link.creator, *admins]):
            if levels.user(user) >= levels.event(THIRD_PARTY, is_state=True) and room.is_joined(user):
                await self._sending.state(room.room_id, user, THIRD_PARTY, link.link_id, {})
                return

    async def invite(self, room: LiveRoom, link: InviteLink, user_id: UserID, server: ServerName) -> None:
        """Invite whoever came with the link, signed with its key."""
        if room.membership(user_id) == "invite":
            return
        if room.membership(user_id) == "ban":
            raise Forbidden("you are banned from this group")
        signed: dict[str, Any] = {"mxid": user_id, "token": link.link_id}
        sign_json(signed, server, SigningKey.of("0", link.seed))
        content = {
            "membership": "invite",
            "third_party_invite": {"display_name": "invite link", "signed": signed},
        }
        await self._writer.send(
            room.room_id, Draft("m.room.member", link.creator, content, state_key=user_id)
        )

    @staticmethod
    async def is_valid(db: Database, public_key: str, now_ms: int) -> bool:
        seeds = await db.read(link_rows.living_seeds, now_ms)
        return any(SigningKey.of("0", seed).public_base64 == public_key for seed in seeds)
