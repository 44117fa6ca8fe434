"""Users: oneself, others, and finding them; and what one has settled (IM API, part B.11)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from homeserver.errors import InvalidParam
from homeserver.http.endpoint import endpoint
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.http.route_cache import EVERYBODY, RouteCache
from homeserver.im.account_keeping import AccountKeeping, Proof
from homeserver.im.cached import user_tag
from homeserver.im.settings import Settings
from homeserver.im.users import By, PublicProfiles, Relations, UserSearch
from homeserver.im_api.classes import LOGIN, REST, SEARCH, Limit
from homeserver.presence.presence import Presence
from homeserver.users.profiles import AVATAR_URL, DISPLAY_NAME, MAX_PROFILE_BYTES
from homeserver.users.threepids import Threepids

_CORE = frozenset({DISPLAY_NAME, AVATAR_URL})


class UpdateMeBody(msgspec.Struct):
    """What is left out stays as it is; what is null is taken away. `fields` are profile fields of one's own choice."""

    nickname: str | UnsetType | None = UNSET
    avatar: str | UnsetType | None = UNSET
    fields: dict[str, Any] = {}


class DeleteMeBody(msgspec.Struct):
    password: str | None = None
    email: str | None = None
    code: str | None = None
    erase: bool = False


class SearchUsersQuery(msgspec.Struct):
    """`by` says what `q` is; without it everything is tried."""

    q: str
    by: By | None = None
    limit: Limit = 20


class SettingsBody(msgspec.Struct):
    """What is left out stays as it is."""

    read_receipts: bool | UnsetType = UNSET
    auto_join_groups: bool | UnsetType = UNSET
    who_can_add_me: Literal["everybody", "nobody"] | UnsetType = UNSET
    discoverable: bool | UnsetType = UNSET
    show_friends: bool | UnsetType = UNSET
    moments_range: Literal["all", "half_year", "month", "three_days"] | UnsetType = UNSET


class OwnUserEndpoints:
    """Oneself."""

    def __init__(
        self,
        profiles: PublicProfiles,
        threepids: Threepids,
        keeping: AccountKeeping,
        settings: Settings,
        presence: Presence,
    ) -> None:
        self._profiles = profiles
        self._threepids = threepids
        self._keeping = keeping
        self._settings = settings
        self._presence = presence

    @endpoint("GET", "/im/v1/users/me", rate_limit=REST)
    async def get_me(self, who: Requester) -> dict[str, Any]:
        """Oneself, with what nobody else sees."""
        addresses = await self._threepids.list_of_user(who.user_id)
        mode = self._presence.mode_of(who.user_id)
        return {
            **await self._profiles.load(who.user_id, who.user_id),
            "emails": [one.address for one in addresses if one.medium == "email"],
            "phones": [one.address for one in addresses if one.medium == "msisdn"],
            "device_id": who.device_id,
            "is_admin": who.is_admin,
            "presence_mode": "online" if mode is None else mode.word,
        }

    @endpoint("PATCH", "/im/v1/users/me", rate_limit=REST, suspended=False, max_body=2 * MAX_PROFILE_BYTES)
    async def update_me(self, who: Requester, body: UpdateMeBody) -> dict[str, Any]:
        """Change one's name, picture or further fields."""
        if _CORE & body.fields.keys():
            raise InvalidParam("fields: nickname and avatar have names of their own")
        changes = {
            field: value
            for field, value in ((DISPLAY_NAME, body.nickname), (AVATAR_URL, body.avatar))
            if value is not UNSET
        }
        await self._profiles.change(who.user_id, changes, body.fields)
        return await self._profiles.load(who.user_id, who.user_id)

    @endpoint("DELETE", "/im/v1/users/me", rate_limit=LOGIN)
    async def delete_me(self, who: Requester, body: DeleteMeBody) -> Empty:
        """End one's account for good. The name is not given out again."""
        await self._keeping.end(who, Proof(body.password, body.email, body.code), erase=body.erase)
        return Empty()

    @endpoint("GET", "/im/v1/users/me/settings", rate_limit=REST)
    async def get_settings(self, who: Requester) -> dict[str, Any]:
        """What one has settled."""
        return await self._settings.load(who.user_id)

    @endpoint("PUT", "/im/v1/users/me/settings", rate_limit=REST)
    async def put_settings(self, who: Requester, body: SettingsBody) -> dict[str, Any]:
        """Settle something."""
        given = {key: value for key, value in msgspec.structs.asdict(body).items() if value is not UNSET}
        await self._settings.merge(who.user_id, given)
        return await self._settings.load(who.user_id)


class UserEndpoints:
    """Others."""

    def __init__(
        self, profiles: PublicProfiles, search: UserSearch, relations: Relations, cache: RouteCache
    ) -> None:
        self._cache = cache
        self._profiles = profiles
        self._search = search
        self._relations = relations

    @endpoint("GET", "/im/v1/users/search", rate_limit=SEARCH)
    async def search_users(self, who: Requester, query: SearchUsersQuery) -> dict[str, Any]:
        """Find somebody by name, by ID, or by a number or address that they let themselves be found by."""
        return {"items": await self._search.search(who.user_id, query.q, query.by, query.limit)}

    @endpoint("GET", "/im/v1/users/{user}", rate_limit=REST)
    async def get_user(self, who: Requester, user: str, request: Request) -> dict[str, Any]:
        """Somebody, by ID or (if they are of this server) by name."""
        user_id = self._profiles.parse(user)
        await self._profiles.check_may_look(who.user_id, user_id)
        found = await self._cache.answer(
            request, EVERYBODY, user_tag(user_id), lambda: self._profiles.of(user_id)
        )
        relations = await self._relations.of(who.user_id, [user_id])
        presence = await self._relations.presence(who.user_id, [user_id])
        answer = {**found, "relation": relations[user_id]}
        return answer | {"presence": presence[user_id]} if user_id in presence else answer
