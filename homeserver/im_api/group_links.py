"""Invite links of groups, and their QR codes (IM API, part B.7)."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import segno

from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty, Response
from homeserver.ids import RoomID
from homeserver.im.group_links import GroupLinks
from homeserver.im_api.classes import ANONYMOUS, REST

_CODE = {"Content-Type": "image/svg+xml", "Content-Security-Policy": "default-src 'none'; sandbox"}


class CreateLinkBody(msgspec.Struct):
    """`expires_in` in seconds."""

    expires_in: int | None = None
    max_uses: int | None = None
    approval: bool = False


class KeyQuery(msgspec.Struct):
    public_key: str


class GroupLinkEndpoints:
    """Links into groups."""

    def __init__(self, links: GroupLinks) -> None:
        self._links = links

    @endpoint("POST", "/im/v1/groups/{gid}/invite-links", rate_limit=REST, suspended=False)
    async def create_invite_link(self, who: Requester, gid: RoomID, body: CreateLinkBody) -> dict[str, Any]:
        """Make a link by which people join, or ask to."""
        return await self._links.create(
            gid,
            who.user_id,
            lifetime_ms=None if body.expires_in is None else body.expires_in * 1000,
            max_uses=body.max_uses,
            approval=body.approval,
        )

    @endpoint("GET", "/im/v1/groups/{gid}/invite-links", rate_limit=REST)
    async def list_invite_links(self, who: Requester, gid: RoomID) -> dict[str, Any]:
        """The links that work: all to admins, to others their own."""
        return {"items": await self._links.list_of_group(gid, who.user_id)}

    @endpoint("DELETE", "/im/v1/groups/{gid}/invite-links/{link_id}", rate_limit=REST)
    async def revoke_invite_link(self, who: Requester, gid: RoomID, link_id: str) -> Empty:
        """End a link."""
        await self._links.revoke(gid, who.user_id, link_id)
        return Empty()

    @endpoint("GET", "/im/v1/groups/{gid}/invite-links/{link_id}/qr.svg", rate_limit=REST)
    async def get_invite_link_code(self, who: Requester, gid: RoomID, link_id: str) -> Response:
        """The link as a QR code."""
        return Response(body=draw_code(await self._links.url(gid, who.user_id, link_id)), headers=_CODE)

    @endpoint("GET", "/im/v1/invite-links/{token}", auth=Auth.NONE, rate_limit=ANONYMOUS)
    async def preview_invite_link(self, token: str) -> dict[str, Any]:
        """The group that a link leads to."""
        return await self._links.preview(token)

    @endpoint("POST", "/im/v1/invite-links/{token}/join", rate_limit=REST, suspended=False)
    async def redeem_invite_link(self, who: Requester, token: str) -> dict[str, Any]:
        """Join by a link, or ask to."""
        return await self._links.redeem(token, who.user_id)

    @endpoint("GET", "/im/v1/invite-keys/valid", auth=Auth.NONE, rate_limit=ANONYMOUS)
    async def is_invite_key_valid(self, query: KeyQuery) -> dict[str, Any]:
        """Whether the key of a link still stands for one; other servers ask this."""
        return {"valid": await self._links.is_valid(query.public_key)}


def draw_code(text: str) -> bytes:
    """A QR code, with the border that scanners need, dark on white whatever is behind it."""
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        out, kind="svg", scale=4, border=4, dark="#000", light="#fff", xmldecl=False, title="QR code"
    )
    return out.getvalue()
