"""What administrators of the server ask of the IM API: users, groups and jobs (IM API, part B.11)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty, Response
from homeserver.ids import RoomID, UserID
from homeserver.im.administration import GroupAdministration, UserAdministration
from homeserver.im.paging import decode_place, encode_place, page
from homeserver.im_api.classes import REST, Limit, PageQuery
from homeserver.users.profiles import AVATAR_URL, DISPLAY_NAME


class AdminUsersQuery(msgspec.Struct, rename={"from_": "from"}):
    """`q` is a part of their ID."""

    q: str | None = None
    limit: Limit = 20
    from_: str | None = None


class AdminUserBody(msgspec.Struct):
    """What is left out stays as it is. `emails` and `phones` are whole lists."""

    nickname: str | UnsetType | None = UNSET
    avatar: str | UnsetType | None = UNSET
    emails: list[str] | UnsetType = UNSET
    phones: list[str] | UnsetType = UNSET
    locked: bool | None = None
    suspended: bool | None = None


class EraseQuery(msgspec.Struct):
    erase: bool = False


class ReasonQuery(msgspec.Struct):
    reason: str | None = None


class JobsQuery(msgspec.Struct):
    state: Literal["scheduled", "done", "failed", "cancelled"] | None = None


class AdminEndpoints:
    """Serves administrators; nobody else."""

    def __init__(self, users: UserAdministration, groups: GroupAdministration) -> None:
        self._users = users
        self._groups = groups

    @endpoint("GET", "/im/v1/admin/users", auth=Auth.ADMIN, rate_limit=REST)
    async def list_users(self, who: Requester, query: AdminUsersQuery) -> dict[str, Any]:
        """The accounts of this server."""
        place = decode_place(query.from_, str)
        after = "" if place is None else str(place[0])
        part = None if query.q is None else query.q.replace("\0", "")
        found = await self._users.page(after, query.limit + 1, part)
        items = found[: query.limit]
        return page(items, encode_place(items[-1]["user_id"]) if len(found) > query.limit else None)

    @endpoint("GET", "/im/v1/admin/users/{user_id}", auth=Auth.ADMIN, rate_limit=REST)
    async def get_account(self, who: Requester, user_id: UserID) -> dict[str, Any]:
        """One account, with its addresses."""
        return await self._users.view(user_id)

    @endpoint("PUT", "/im/v1/admin/users/{user_id}", auth=Auth.ADMIN, rate_limit=REST)
    async def put_account(self, who: Requester, user_id: UserID, body: AdminUserBody) -> dict[str, Any]:
        """Change an account: its profile, its addresses, and whether it is locked or suspended."""
        fields = {
            key: value
            for key, value in ((DISPLAY_NAME, body.nickname), (AVATAR_URL, body.avatar))
            if value is not UNSET
        }
        addresses = {
            key: value
            for key, value in (("emails", body.emails), ("phones", body.phones))
            if not isinstance(value, UnsetType)
        }
        await self._users.change(
            who.user_id,
            user_id,
            fields=fields,
            addresses=addresses,
            locked=body.locked,
            suspended=body.suspended,
        )
        return await self._users.view(user_id)

    @endpoint("DELETE", "/im/v1/admin/users/{user_id}", auth=Auth.ADMIN, rate_limit=REST)
    async def delete_account(self, who: Requester, user_id: UserID, query: EraseQuery) -> Empty:
        """End an account for good."""
        await self._users.end(who.user_id, user_id, erase=query.erase)
        return Empty()

    @endpoint("GET", "/im/v1/admin/groups", auth=Auth.ADMIN, rate_limit=REST)
    async def list_all_groups(self, who: Requester, query: PageQuery) -> dict[str, Any]:
        """The groups that this server knows."""
        place = decode_place(query.from_, str)
        found = await self._groups.page("" if place is None else str(place[0]), query.limit + 1)
        items = found[: query.limit]
        return page(items, encode_place(items[-1]["gid"]) if len(found) > query.limit else None)

    @endpoint("DELETE", "/im/v1/admin/groups/{gid}", auth=Auth.ADMIN, rate_limit=REST)
    async def dissolve_any_group(self, who: Requester, gid: RoomID, query: ReasonQuery) -> Response:
        """Dissolve a group in its owner's name."""
        return Response(202, {"job_id": await self._groups.dissolve(who.user_id, gid, query.reason)})

    @endpoint("GET", "/im/v1/admin/jobs", auth=Auth.ADMIN, rate_limit=REST)
    async def list_jobs(self, who: Requester, query: JobsQuery) -> dict[str, Any]:
        """What the server does in the background."""
        return page(await self._groups.jobs(query.state), None)
