"""What an invite link's URL carries: enough for any server to find the group, whom to ask, and what to sign with."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from homeserver.events.signatures import SigningKey, sign_json
from homeserver.ids import RoomID, ServerName, UserID, is_room_id, is_user_id
from homeserver.im.group_shapes import LinkInvalid

SEED_BYTES = 32


class LinkToken(msgspec.Struct, array_like=True):
    """Without a seed the link is one for asking to join."""

    room_id: str
    creator: str
    link_id: str
    seed: str
    expires_ms: int
    name: str

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
        if not is_room_id(token.room_id) or not is_user_id(token.creator):
            raise LinkInvalid("this is no invite link")
        return token

    @property
    def gid(self) -> RoomID:
        return RoomID(self.room_id)

    @property
    def inviter(self) -> UserID:
        return UserID(self.creator)

    def sign_for(self, user_id: UserID, server: ServerName) -> dict[str, Any]:
        """That somebody who has the link is this user.

        Raises:
            LinkInvalid: there is nothing to sign with.
        """
        try:
            seed = base64.b64decode(self.seed, validate=True)
        except ValueError as error:
            raise LinkInvalid("this is no invite link") from error
        if len(seed) != SEED_BYTES:
            raise LinkInvalid("this is no invite link")
        signed: dict[str, Any] = {"mxid": user_id, "token": self.link_id}
        sign_json(signed, server, SigningKey.of("0", seed))
        return signed


def encode_seed(seed: bytes) -> str:
    return base64.b64encode(seed).decode("ascii")
