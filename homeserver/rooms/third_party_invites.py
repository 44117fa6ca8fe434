"""Invitations to people who are known by an e-mail address or a telephone number only.

An identity server is asked whose the address is. If it does not know, it keeps the invitation and writes to the
address; the room gets an event with the token and the keys by which its owner can prove later that they are meant.
Spec: https://spec.matrix.org/v1.19/client-server-api/#third-party-invites
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.errors import Forbidden, InvalidParam
from homeserver.ids import RoomID, UserID, is_user_id
from homeserver.rooms.invite_exchange import THIRD_PARTY_INVITE, InviteExchange
from homeserver.rooms.live_room import LiveRoom
from homeserver.rooms.membership import MemberProfiles, Memberships
from homeserver.rooms.registry import Rooms
from homeserver.rooms.writer import Draft, RoomWriter
from homeserver.users.identifiers import canonical_address
from homeserver.users.identity_servers import IdentityServers

MEDIA = ("email", "msisdn")

# What an identity server may tell the invited of the room: its parameter, the event, and the key of its content.
_SHOWN = (
    ("room_alias", "m.room.canonical_alias", "alias"),
    ("room_avatar_url", "m.room.avatar", "url"),
    ("room_join_rules", "m.room.join_rules", "join_rule"),
    ("room_name", "m.room.name", "name"),
    ("room_type", "m.room.create", "type"),
)
_OF_SENDER = (("sender_display_name", "displayname"), ("sender_avatar_url", "avatar_url"))


@dataclass(frozen=True, slots=True)
class Addressee:
    """Somebody with an address, and the identity server that may know them."""

    id_server: str
    access_token: str
    medium: str
    address: str


class ThirdPartyInvites:
    """Makes and redeems them."""

    def __init__(
        self,
        rooms: Rooms,
        writer: RoomWriter,
        memberships: Memberships,
        profiles: MemberProfiles,
        identity: IdentityServers,
        exchange: InviteExchange,
    ) -> None:
        self._rooms = rooms
        self._writer = writer
        self._memberships = memberships
        self._profiles = profiles
        self._identity = identity
        self._exchange = exchange

    async def invite(self, room_id: RoomID, inviter: UserID, whom: Addressee, *, reason: str | None) -> None:
        """Invite whoever owns an address.

        Raises:
            Forbidden: the inviter may not invite to the room.
            RemoteError: the identity server does not answer, or takes no invitation.
        """
        room = await self._rooms.find_or_load(room_id)
        if room is None or not room.is_joined(inviter):
            raise Forbidden("you are not in this room")
        levels = room.power_levels
        if levels.user(inviter) < levels.invite:
            # The rules would say so too, but only once somebody outside had been told of the room.
            raise Forbidden("you may not invite to this room")
        user_id = await self.find_user(whom)
        if user_id is not None:
            await self._memberships.invite(room_id, inviter, user_id, reason=reason)
        else:
            await self.store(room, inviter, whom)

    async def find_user(self, whom: Addressee) -> UserID | None:
        """Whose the address is, if the identity server knows.

        Raises:
            RemoteError: it does not answer.
        """
        if whom.medium not in MEDIA:
            raise InvalidParam(f"{whom.medium!r} is no kind of address")
        address = canonical_address(whom.medium, whom.address)
        return await self._identity.find_user(whom.id_server, whom.access_token, whom.medium, address)

    async def store(self, room: LiveRoom, inviter: UserID, whom: Addressee) -> None:
        """Leave an invitation with the identity server, and its keys in the room."""
        invitation: dict[str, Any] = {
            "medium": whom.medium,
            "address": canonical_address(whom.medium, whom.address),
            "room_id": room.room_id,
            "sender": inviter,
        }
        profile = await self._profiles.member_profile(inviter)
        described = [(name, profile.get(key)) for name, key in _OF_SENDER]
        described += [(name, room.content(kind).get(key)) for name, kind, key in _SHOWN]
        invitation.update({name: value for name, value in described if isinstance(value, str)})
        stored = await self._identity.store_invite(whom.id_server, whom.access_token, invitation)
        content = {
            "display_name": stored.display_name,
            # The first key is the server's own, which all that know one key only check.
            "public_key": stored.public_keys[0]["public_key"],
            "key_validity_url": stored.public_keys[0]["key_validity_url"],
            "public_keys": stored.public_keys,
        }
        await self._writer.send(
            room.room_id, Draft(THIRD_PARTY_INVITE, inviter, content, state_key=stored.token)
        )

    async def redeem(self, room_id: RoomID, user_id: UserID, signed: Mapping[str, Any]) -> None:
        """Turn an invitation by address into one for the user, to whom it was made out by an identity server.

        Raises:
            Forbidden: it is for somebody else, nobody has made it, or its signature is wrong.
            RemoteError: the inviter's server does not answer, or refuses.
        """
        if signed.get("mxid") != user_id:
            raise Forbidden("this invitation is for somebody else")
        proof = {key: signed[key] for key in ("mxid", "sender", "token", "signatures") if key in signed}
        room = await self._rooms.find_or_load(room_id)
        token = signed.get("token")
        original = (
            None if room is None or not isinstance(token, str) else room.find_state(THIRD_PARTY_INVITE, token)
        )
        inviter = signed.get("sender") if original is None else original.sender
        if not isinstance(inviter, str) or not is_user_id(inviter):
            raise Forbidden("nobody here has made this invitation")
        await self._exchange.claim(room_id, UserID(inviter), user_id, proof)
