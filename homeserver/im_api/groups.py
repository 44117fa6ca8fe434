"""Groups: making, finding and changing them.

Every call is an act in the group's room, which stock clients see (IM API, part B.7).
"""

from __future__ import annotations

from typing import Any

import msgspec

from homeserver.http.endpoint import endpoint
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty, Response
from homeserver.http.route_cache import EVERYBODY, RouteCache
from homeserver.ids import RoomID, UserID
from homeserver.im.cached import GROUPS, group_tag
from homeserver.im.group_announcements import GroupAnnouncements
from homeserver.im.group_dissolution import GroupDissolution
from homeserver.im.group_making import GroupMaking, NewGroup
from homeserver.im.group_members import GroupMembers
from homeserver.im.group_shapes import HistoryMode, InvitePermission, JoinMode
from homeserver.im.groups import Groups
from homeserver.im.paging import page
from homeserver.im_api.classes import REST, SEARCH, Limit


class CreateGroupBody(msgspec.Struct):
    name: str
    description: str | None = None
    avatar: str | None = None
    members: list[UserID] = []
    join_mode: JoinMode = "invite"
    invite_permission: InvitePermission = "all"
    history: HistoryMode = "shared"
    searchable: bool = False
    number: str | None = None


class DescribeGroupBody(msgspec.Struct):
    """What is left out stays as it is."""

    name: str | None = None
    description: str | None = None
    avatar: str | None = None


class GroupSettingsBody(msgspec.Struct):
    """What is left out stays as it is."""

    join_mode: JoinMode | None = None
    invite_permission: InvitePermission | None = None
    history: HistoryMode | None = None
    searchable: bool | None = None


class ListGroupsQuery(msgspec.Struct):
    scope: str = "mine"


class SearchGroupsQuery(msgspec.Struct, rename={"from_": "from"}):
    q: str
    server: str | None = None
    limit: Limit = 20
    from_: str | None = None


class MuteAllBody(msgspec.Struct):
    enabled: bool


class AnnouncementBody(msgspec.Struct):
    text: str


class DissolveBody(msgspec.Struct):
    reason: str | None = None


class GroupEndpoints:
    """A group as a whole."""

    def __init__(
        self,
        making: GroupMaking,
        groups: Groups,
        members: GroupMembers,
        announcements: GroupAnnouncements,
        dissolution: GroupDissolution,
        cache: RouteCache,
    ) -> None:
        self._cache = cache
        self._making = making
        self._groups = groups
        self._members = members
        self._announcements = announcements
        self._dissolution = dissolution

    @endpoint("POST", "/im/v1/groups", rate_limit=REST, suspended=False)
    async def create_group(self, who: Requester, body: CreateGroupBody) -> dict[str, Any]:
        """Make a group and invite its first members; `invitations` says what became of each."""
        wanted = NewGroup(
            owner=who.user_id,
            name=body.name,
            description=body.description,
            avatar=body.avatar,
            members=body.members,
            join_mode=body.join_mode,
            invite_permission=body.invite_permission,
            history=body.history,
            searchable=body.searchable,
            number=body.number,
        )
        gid = await self._making.create(wanted)
        others = [user for user in body.members if user != who.user_id]
        results = await self._members.add(gid, who.user_id, others) if others else []
        return {**await self._groups.view(gid, who.user_id), "invitations": results}

    @endpoint("GET", "/im/v1/groups", rate_limit=REST)
    async def list_groups(self, who: Requester, query: ListGroupsQuery) -> dict[str, Any]:
        """The groups that one is a member of."""
        return {"items": await self._groups.mine(who.user_id)}

    @endpoint("GET", "/im/v1/groups/search", rate_limit=SEARCH)
    async def search_groups(
        self, who: Requester, query: SearchGroupsQuery, request: Request
    ) -> dict[str, Any]:
        """Find groups that want to be found, by a part of their name or by their number."""

        async def search() -> dict[str, Any]:
            items, after = await self._groups.search(
                query.q, server=query.server, limit=query.limit, since=query.from_
            )
            return page(items, after)

        found: dict[str, Any] = await self._cache.answer(request, EVERYBODY, GROUPS, search)
        return found

    @endpoint("GET", "/im/v1/users/{user_id}/groups", rate_limit=REST)
    async def list_groups_of_user(self, who: Requester, user_id: UserID) -> dict[str, Any]:
        """The groups that one shares with somebody."""
        return {"items": await self._groups.shared(who.user_id, user_id)}

    @endpoint("GET", "/im/v1/groups/{gid}", rate_limit=REST)
    async def get_group(self, who: Requester, gid: RoomID, request: Request) -> dict[str, Any]:
        """A group, as much of it as one may see."""
        public = await self._cache.answer(
            request, EVERYBODY, group_tag(gid), lambda: self._groups.public(gid)
        )
        return await self._groups.viewed(gid, who.user_id, public)

    @endpoint("PATCH", "/im/v1/groups/{gid}", rate_limit=REST, suspended=False)
    async def describe_group(self, who: Requester, gid: RoomID, body: DescribeGroupBody) -> dict[str, Any]:
        """Change a group's name, description or picture."""
        await self._groups.describe(
            gid, who.user_id, name=body.name, description=body.description, avatar=body.avatar
        )
        return await self._groups.view(gid, who.user_id)

    @endpoint("PUT", "/im/v1/groups/{gid}/settings", rate_limit=REST, suspended=False)
    async def set_group_settings(
        self, who: Requester, gid: RoomID, body: GroupSettingsBody
    ) -> dict[str, Any]:
        """Say how one joins, who invites, what newcomers can read, and whether strangers find the group."""
        await self._groups.set_rules(
            gid,
            who.user_id,
            join_mode=body.join_mode,
            invite_permission=body.invite_permission,
            history=body.history,
            searchable=body.searchable,
        )
        return await self._groups.view(gid, who.user_id)

    @endpoint("DELETE", "/im/v1/groups/{gid}", rate_limit=REST)
    async def dissolve_group(self, who: Requester, gid: RoomID, query: DissolveBody) -> Response:
        """Dissolve a group: nobody can talk from now on, and a job removes the members."""
        job_id = await self._dissolution.begin(gid, who.user_id, query.reason)
        return Response(202, {"job_id": job_id})

    @endpoint("GET", "/im/v1/jobs/{job_id}", rate_limit=REST)
    async def get_job(self, who: Requester, job_id: str) -> dict[str, Any]:
        """How far a dissolution of one's own has come."""
        return await self._dissolution.progress(job_id, who.user_id)

    @endpoint("PUT", "/im/v1/groups/{gid}/mute", rate_limit=REST, suspended=False)
    async def mute_group(self, who: Requester, gid: RoomID, body: MuteAllBody) -> Empty:
        """Let only the owner and admins speak, or everybody again."""
        await self._groups.mute_all(gid, who.user_id, muted=body.enabled)
        return Empty()

    @endpoint("GET", "/im/v1/groups/{gid}/announcement", rate_limit=REST)
    async def get_announcement(self, who: Requester, gid: RoomID) -> dict[str, Any]:
        """What the group's admins have announced last."""
        return await self._announcements.load(gid, who.user_id)

    @endpoint("PUT", "/im/v1/groups/{gid}/announcement", rate_limit=REST, suspended=False)
    async def put_announcement(self, who: Requester, gid: RoomID, body: AnnouncementBody) -> dict[str, Any]:
        """Announce something to everybody in the group, and pin it."""
        return {"event_id": await self._announcements.put(gid, who.user_id, body.text)}

    @endpoint("DELETE", "/im/v1/groups/{gid}/announcement", rate_limit=REST, suspended=False)
    async def delete_announcement(self, who: Requester, gid: RoomID) -> Empty:
        """Take the announcement down."""
        await self._announcements.remove(gid, who.user_id)
        return Empty()
