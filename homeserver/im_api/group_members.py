"""The members of groups: roles, voices, names, invitations and requests (IM API, part B.7)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from homeserver.errors import Forbidden, InvalidParam
from homeserver.http.endpoint import endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import RoomID, UserID, parse_server_name
from homeserver.im.group_members import GroupMembers
from homeserver.im.group_mutes import GroupMutes
from homeserver.im.group_shapes import Role
from homeserver.im.group_waiting import WaitingGroups
from homeserver.im_api.classes import REST, Limit


class MembersQuery(msgspec.Struct, rename={"from_": "from"}):
    limit: Limit = 20
    from_: str | None = None


class AddMembersBody(msgspec.Struct):
    user_ids: list[str]
    reason: str | None = None


class ReasonBody(msgspec.Struct):
    reason: str | None = None


class ReasonQuery(msgspec.Struct):
    reason: str | None = None


class ChangeMemberBody(msgspec.Struct):
    """What is left out stays as it is. `muted_until` is a time in ms; null gives the voice back."""

    role: Role | None = None
    nickname: str | None = None
    muted: bool | None = None
    muted_until: int | UnsetType | None = UNSET


class TransferBody(msgspec.Struct):
    new_owner: UserID


class AnswerBody(msgspec.Struct):
    action: Literal["accept", "reject"]
    reason: str | None = None


class JoinRequestBody(msgspec.Struct):
    message: str | None = None
    via: list[str] = []


class GroupMemberEndpoints:
    """Who is in a group."""

    def __init__(self, members: GroupMembers, mutes: GroupMutes, waiting: WaitingGroups) -> None:
        self._members = members
        self._mutes = mutes
        self._waiting = waiting

    @endpoint("GET", "/im/v1/groups/{gid}/members", rate_limit=REST)
    async def list_members(self, who: Requester, gid: RoomID, query: MembersQuery) -> dict[str, Any]:
        """The members: the owner, then admins, then everybody else."""
        items, after = await self._members.page(gid, who.user_id, after=query.from_, limit=query.limit)
        for item in items:
            if item["muted"]:
                item["muted_until"] = await self._mutes.muted_until(gid, item["user_id"])
        return {"items": items} if after is None else {"items": items, "next_batch": after}

    @endpoint("POST", "/im/v1/groups/{gid}/members", rate_limit=REST, suspended=False)
    async def add_members(self, who: Requester, gid: RoomID, body: AddMembersBody) -> dict[str, Any]:
        """Invite people; friends who allow it are members at once. One result for each."""
        return {"items": await self._members.add(gid, who.user_id, body.user_ids, reason=body.reason)}

    @endpoint("PATCH", "/im/v1/groups/{gid}/members/{user_id}", rate_limit=REST, suspended=False)
    async def change_member(
        self, who: Requester, gid: RoomID, user_id: UserID, body: ChangeMemberBody
    ) -> Empty:
        """Change a member's role or voice, or one's own name in the group."""
        if body.role is not None:
            await self._members.set_role(gid, who.user_id, user_id, body.role)
        if body.nickname is not None:
            if user_id != who.user_id:
                raise Forbidden("one chooses nobody's name but one's own")
            await self._members.set_nickname(gid, user_id, body.nickname)
        if body.muted_until is None or body.muted is False:
            await self._mutes.unmute(gid, who.user_id, user_id)
        elif body.muted_until is not UNSET or body.muted:
            until = None if body.muted_until is UNSET else body.muted_until
            await self._mutes.mute(gid, who.user_id, user_id, until_ms=until)
        return Empty()

    @endpoint("DELETE", "/im/v1/groups/{gid}/members/{user_id}", rate_limit=REST)
    async def remove_member(self, who: Requester, gid: RoomID, user_id: UserID, query: ReasonQuery) -> Empty:
        """Remove a member."""
        if user_id == who.user_id:
            raise InvalidParam("to go oneself is to leave")
        await self._members.remove(gid, who.user_id, user_id, reason=query.reason)
        return Empty()

    @endpoint("POST", "/im/v1/groups/{gid}/leave", rate_limit=REST)
    async def leave_group(self, who: Requester, gid: RoomID) -> Empty:
        """Leave a group; its owner hands it over first, or dissolves it."""
        await self._members.leave(gid, who.user_id)
        return Empty()

    @endpoint("POST", "/im/v1/groups/{gid}/transfer", rate_limit=REST, suspended=False)
    async def transfer_group(self, who: Requester, gid: RoomID, body: TransferBody) -> Empty:
        """Make another member the owner."""
        await self._members.transfer(gid, who.user_id, body.new_owner)
        return Empty()

    @endpoint("GET", "/im/v1/groups/{gid}/invitations", rate_limit=REST)
    async def list_invitations(self, who: Requester, gid: RoomID) -> dict[str, Any]:
        """Who has been invited and has not answered."""
        return {"items": await self._members.invitations(gid, who.user_id)}

    @endpoint("POST", "/im/v1/groups/{gid}/invitations/{user_id}", rate_limit=REST, suspended=False)
    async def invite_member(
        self, who: Requester, gid: RoomID, user_id: UserID, body: ReasonBody
    ) -> dict[str, Any]:
        """Invite one person."""
        (result,) = await self._members.add(gid, who.user_id, [user_id], reason=body.reason)
        return result

    @endpoint("POST", "/im/v1/groups/{gid}/invitations", rate_limit=REST, suspended=False)
    async def invite_members(self, who: Requester, gid: RoomID, body: AddMembersBody) -> dict[str, Any]:
        """Invite people; one result for each."""
        return {"items": await self._members.add(gid, who.user_id, body.user_ids, reason=body.reason)}

    @endpoint("PUT", "/im/v1/groups/{gid}/invitations/{user_id}", rate_limit=REST)
    async def answer_invitation(
        self, who: Requester, gid: RoomID, user_id: UserID, body: AnswerBody
    ) -> dict[str, Any]:
        """Take an invitation of one's own, or not."""
        if user_id != who.user_id:
            raise Forbidden("one answers one's own invitations")
        state = await self._members.answer_invitation(gid, user_id, accept=body.action == "accept")
        return {"gid": gid, "state": state}

    @endpoint("DELETE", "/im/v1/groups/{gid}/invitations/{user_id}", rate_limit=REST)
    async def retract_invitation(self, who: Requester, gid: RoomID, user_id: UserID) -> Empty:
        """Take an invitation back."""
        await self._members.remove(gid, who.user_id, user_id)
        return Empty()

    @endpoint("GET", "/im/v1/groups/{gid}/requests", rate_limit=REST)
    async def list_requests(self, who: Requester, gid: RoomID) -> dict[str, Any]:
        """Who asks to join."""
        return {"items": await self._members.requests(gid, who.user_id)}

    @endpoint("POST", "/im/v1/groups/{gid}/requests", rate_limit=REST, suspended=False)
    async def ask_to_join(self, who: Requester, gid: RoomID, body: JoinRequestBody) -> dict[str, Any]:
        """Ask to join a group, or join it if it is open."""
        servers = [parse_server_name(name) for name in body.via[:10]]
        state = await self._members.ask_to_join(gid, who.user_id, body.message, servers)
        return {"gid": gid, "state": state}

    @endpoint("PUT", "/im/v1/groups/{gid}/requests/{user_id}", rate_limit=REST, suspended=False)
    async def answer_request(
        self, who: Requester, gid: RoomID, user_id: UserID, body: AnswerBody
    ) -> dict[str, Any]:
        """Let somebody in who asks, or not."""
        state = await self._members.answer_request(
            gid, who.user_id, user_id, accept=body.action == "accept", reason=body.reason
        )
        return {"gid": gid, "state": state}

    @endpoint("DELETE", "/im/v1/groups/{gid}/requests/{user_id}", rate_limit=REST)
    async def withdraw_request(self, who: Requester, gid: RoomID, user_id: UserID) -> Empty:
        """Take one's own request back."""
        if user_id != who.user_id:
            raise Forbidden("one takes back nobody's requests but one's own")
        await self._members.withdraw(gid, user_id)
        return Empty()

    @endpoint("GET", "/im/v1/users/me/group-invitations", rate_limit=REST)
    async def list_my_invitations(self, who: Requester) -> dict[str, Any]:
        """The groups that invite one."""
        return {"items": await self._waiting.invitations(who.user_id)}

    @endpoint("GET", "/im/v1/users/me/group-requests", rate_limit=REST)
    async def list_my_requests(self, who: Requester) -> dict[str, Any]:
        """The groups that one has asked to join."""
        return {"items": await self._waiting.requests(who.user_id)}
