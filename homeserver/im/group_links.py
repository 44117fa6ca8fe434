"""Invite links: whoever has one joins the group, or asks to.

A link is an `m.room.third_party_invite` whose key the link carries: the room's state shows the public half, and with
the private half the server of whoever comes signs for them. So every server can check the invitation, whichever server
they come from, and revoking a link is an event that every server sees. The server of the link's maker counts its uses.
Spec: https://spec.matrix.org/v1.19/client-server-api/#mroomthird_party_invite
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from homeserver.errors import Forbidden, InvalidParam, MatrixError, NotFound, RemoteError
from homeserver.events.signatures import SigningKey
from homeserver.ids import RoomID, ServerName, UserID, domain_of
from homeserver.im.group_members import GroupMembers
from homeserver.im.group_shapes import ADMIN, LinkInvalid, is_dissolved
from homeserver.im.groups import Groups, summary
from homeserver.im.link_tokens import LinkToken, encode_seed
from homeserver.rooms.invite_exchange import THIRD_PARTY_INVITE, InviteExchange
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.sending import Sending
from homeserver.runtime.clock import Clock
from homeserver.runtime.random import Randomness
from storage import im_invite_links as link_rows
from storage.database import Database
from storage.im_invite_links import InviteLink

DEFAULT_LIFETIME_MS = 7 * 86_400_000
ARRIVES_WITHIN_S = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)


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

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

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
        if levels.user(user_id) < levels.event(THIRD_PARTY_INVITE, is_state=True):
            raise Forbidden("only the owner and admins invite into this group")
        link_id, seed = self._keys.link()
        now_ms = self._keys.now_ms()
        link = InviteLink(
            link_id, gid, user_id, seed, now_ms, now_ms + lifetime, max_uses, 0, approval, revoked=False
        )
        if not approval:
            await self._writing.show(link, self._settings.base_url)
        await self._db.run(link_rows.insert, link)
        return self._view(link, room)

    async def list_of_group(self, gid: RoomID, user_id: UserID) -> list[dict[str, Any]]:
        """The links that work: an admin sees all, others their own."""
        room = await self._groups.load_joined(gid, user_id)
        links = await self._db.read(link_rows.list_of_room, gid, self._keys.now_ms())
        sees_all = room.power_levels.user(user_id) >= ADMIN
        return [self._view(link, room) for link in links if sees_all or link.creator == user_id]

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
        """What somebody sees who has a link, before joining; of another server's, what the link says itself.

        Raises:
            LinkInvalid: it does not work (any more).
        """
        token = LinkToken.parse(text)
        if domain_of(token.inviter) != self._settings.server_name:
            if token.expires_ms <= self._keys.now_ms():
                raise LinkInvalid("this link does not work any more")
            return _shown_abroad(token)
        link, room = await self._load(token)
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
        token = LinkToken.parse(text)
        gid, via = token.gid, [domain_of(token.inviter)]
        known = await self._groups.find(gid)
        if known is not None and known.is_joined(user_id):
            return {"gid": gid, "state": "joined"}
        if via != [self._settings.server_name]:
            if token.expires_ms <= self._keys.now_ms():
                raise LinkInvalid("this link does not work any more")
            approval = not token.seed
        else:
            approval = (await self._load(token))[0].approval
        if approval:
            return {"gid": gid, "state": await self._members.ask_to_join(gid, user_id, None, via)}
        signed = token.sign_for(user_id, self._settings.server_name)
        try:
            await self._writing.invites.claim(gid, token.inviter, user_id, signed)
        except RemoteError as error:
            raise _refused_abroad(error) from error
        await self._wait_for_invitation(known, user_id)
        return {"gid": gid, "state": await self._members.answer_invitation(gid, user_id, accept=True)}

    async def _wait_for_invitation(self, room: LiveRoom | None, user_id: UserID) -> None:
        """An invitation to a group that we are in comes like every other event of it: a little later."""
        if room is None or not room.local_joined:
            return
        for pause_s in ARRIVES_WITHIN_S:
            if room.membership(user_id) in ("invite", "join"):
                return
            await self._keys.sleep(pause_s)

    # What third-party invites ask: see `homeserver.rooms.invite_exchange.Uses`.

    async def take(self, room: LiveRoom, token: str) -> None:
        """Count a use of the link that this is the ID of, if it is one of ours.

        Raises:
            LinkInvalid: it does not work any more.
        """
        link = await self._db.read(link_rows.find, token)
        if link is None:
            return
        if is_dissolved(room) or not await self._db.run(link_rows.use, token, self._keys.now_ms()):
            raise LinkInvalid("this link does not work any more")

    async def give_back(self, token: str) -> None:
        await self._db.run(link_rows.give_back, token)

    async def end_used_up(self, room: LiveRoom, token: str) -> None:
        """Take a link away that has been used as often as it may be."""
        used = await self._db.read(link_rows.find, token)
        if used is not None and used.max_uses is not None and used.uses >= used.max_uses:
            await self._end(room, used)

    async def is_valid(self, public_key: str) -> bool:
        """Whether a link of ours has this key and works; other servers may ask."""
        return await self._writing.is_valid(self._db, public_key, self._keys.now_ms())

    async def _load(self, token: LinkToken) -> tuple[InviteLink, LiveRoom]:
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
        if (THIRD_PARTY_INVITE, link.link_id) in room.state:
            await self._writing.hide(room, link)

    def _view(self, link: InviteLink, room: LiveRoom) -> dict[str, Any]:
        seed = "" if link.approval else encode_seed(link.seed)
        name = str(summary(room)["name"])[:64]
        via = self._settings.server_name
        token = LinkToken(link.room_id, link.creator, link.link_id, seed, link.expires_ms, name).encode()
        return {
            "link_id": link.link_id,
            "token": token,
            "url": f"{self._settings.base_url}#/join/{token}",
            "matrix_uri": f"matrix:roomid/{link.room_id[1:]}?action=join&via={via}",
            "qr_svg_url": f"/im/v1/groups/{link.room_id}/invite-links/{link.link_id}/qr.svg",
            "creator": link.creator,
            "created_ts": link.created_ms,
            "expires_ts": link.expires_ms,
            "max_uses": link.max_uses,
            "uses": link.uses,
            "approval": link.approval,
        }


def _shown_abroad(token: LinkToken) -> dict[str, Any]:
    return {
        "gid": token.gid,
        "number": None,
        "name": token.name,
        "description": None,
        "avatar": None,
        "member_count": None,
        "join_mode": None,
        "invited_by": token.inviter,
        "approval": not token.seed,
        "expires_ts": token.expires_ms,
    }


def _refused_abroad(error: RemoteError) -> MatrixError:
    """What another server's refusal of a link is to whoever has it."""
    if error.errcode == LinkInvalid.errcode or error.status == 404:
        return LinkInvalid("this link does not work any more")
    if error.status == 403:
        return Forbidden("you cannot join this group")
    return MatrixError(f"the group's server cannot be asked: {error}", status=502)


class LinkWriting:
    """The events of links."""

    def __init__(self, sending: Sending, invites: InviteExchange) -> None:
        self._sending = sending
        self.invites = invites

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
        await self._sending.state(link.room_id, link.creator, THIRD_PARTY_INVITE, link.link_id, content)

    async def hide(self, room: LiveRoom, link: InviteLink) -> None:
        """Take the key back, as the link's maker or else as an admin."""
        levels = room.power_levels
        admins = [user for user in sorted(room.local_joined) if levels.user(user) >= ADMIN]
        for user in dict.fromkeys([link.creator, *admins]):
            if levels.user(user) >= levels.event(THIRD_PARTY_INVITE, is_state=True) and room.is_joined(user):
                await self._sending.state(room.room_id, user, THIRD_PARTY_INVITE, link.link_id, {})
                return

    @staticmethod
    async def is_valid(db: Database, public_key: str, now_ms: int) -> bool:
        seeds = await db.read(link_rows.living_seeds, now_ms)
        return any(SigningKey.of("0", seed).public_base64 == public_key for seed in seeds)
