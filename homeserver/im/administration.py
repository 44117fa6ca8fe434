"""What administrators of the server do over the IM API. Every act is a line in the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from homeserver.errors import Conflict, Forbidden, InvalidParam
from homeserver.ids import RoomID, ServerName, UserID, domain_of
from homeserver.im.group_dissolution import GroupDissolution
from homeserver.im.group_shapes import owner_of
from homeserver.im.groups import Groups
from homeserver.im.users import PublicProfiles
from homeserver.runtime.clock import Clock
from homeserver.users.account_moderation import AccountModeration
from homeserver.users.deactivation import Deactivation
from homeserver.users.identifiers import canonical_email
from homeserver.users.mail.mailer import check_address
from homeserver.users.phone_numbers import canonical_number
from storage import account_list, jobs, threepids
from storage.database import Database
from storage.jobs import BackgroundJob
from storage.threepids import Threepid
from storage.transaction import Transaction
from storage.users import Account

_log = structlog.get_logger(__name__)
MEDIUMS = {"emails": "email", "phones": "msisdn"}


class UserAdministration:
    """Looks at accounts, changes and ends them."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        moderation: AccountModeration,
        deactivation: Deactivation,
        profiles: PublicProfiles,
    ) -> None:
        self._db = db
        self._clock = clock
        self._moderation = moderation
        self._deactivation = deactivation
        self._profiles = profiles

    async def page(self, after: str, limit: int, part: str | None) -> list[dict[str, Any]]:
        """Accounts by ID."""
        accounts = await self._db.read(account_list.page_of_users, after, limit, part)
        return [_flags(account) for account in accounts]

    async def view(self, user_id: UserID) -> dict[str, Any]:
        """One account, with its profile and its addresses.

        Raises:
            NotFound, InvalidParam: there is no such account here.
        """
        account = await self._moderation.look_at(user_id)
        addresses = await self._db.read(threepids.list_of_user, user_id)
        by_medium = {
            name: [one.address for one in addresses if one.medium == medium]
            for name, medium in MEDIUMS.items()
        }
        profile = {} if account.is_deactivated else await self._profiles.of(user_id)
        return {**profile, **_flags(account), **by_medium}

    async def change(
        self,
        by: UserID,
        user_id: UserID,
        *,
        fields: dict[str, Any],
        addresses: dict[str, list[str]],
        locked: bool | None,
        suspended: bool | None,
    ) -> None:
        """Change an account. `addresses` are whole lists by their names: an administrator vouches for them.

        Raises:
            NotFound, InvalidParam: there is no such account here, or it cannot be so.
            Forbidden: it is the administrator's own, or another administrator's.
            Conflict: an address is somebody else's.
        """
        await self._moderation.load(user_id)
        wanted = {
            MEDIUMS[name]: [_canonical(name, one) for one in given] for name, given in addresses.items()
        }
        _log.info(
            "an administrator changes an account", by=by, user=user_id, locked=locked, suspended=suspended
        )
        if wanted:
            await self._db.run(_set_addresses, user_id, wanted, self._clock.now_ms())
        if fields:
            await self._profiles.write(user_id, fields)
        if locked is not None:
            await self._moderation.set_locked(by, user_id, locked=locked)
        if suspended is not None:
            await self._moderation.set_suspended(by, user_id, suspended=suspended)

    async def end(self, by: UserID, user_id: UserID, *, erase: bool) -> None:
        """End an account for good.

        Raises:
            NotFound, InvalidParam: there is no such account here.
            Forbidden: it is an administrator's.
        """
        await self._moderation.load(user_id)
        _log.info("an administrator ends an account", by=by, user=user_id, erase=erase)
        await self._deactivation.deactivate(user_id, erase=erase)


class GroupAdministration:
    """Looks at groups, dissolves them, and sees what the server does in the background."""

    def __init__(
        self, db: Database, groups: Groups, dissolution: GroupDissolution, server_name: ServerName
    ) -> None:
        self._db = db
        self._groups = groups
        self._dissolution = dissolution
        self._server_name = server_name

    async def page(self, after: str, limit: int) -> list[dict[str, Any]]:
        """The groups that this server knows, by ID."""
        found = await self._db.read(account_list.page_of_groups, after, limit)
        return [await self._groups.public(gid) for gid in found]

    async def dissolve(self, by: UserID, gid: RoomID, reason: str | None) -> str:
        """Dissolve a group in its owner's name; the job that removes the members.

        Raises:
            NotFound, GroupDissolved: there is no such group, or none any more.
            Forbidden: its owner is another server's.
        """
        owner = owner_of(await self._groups.load(gid))
        if owner is None or domain_of(owner) != self._server_name:
            raise Forbidden("the owner of this group is not a user of this server")
        _log.info("an administrator dissolves a group", by=by, group=gid)
        return await self._dissolution.begin(gid, owner, reason)

    async def jobs(self, state: str | None) -> list[dict[str, Any]]:
        """What the server does, or did, in the background."""
        found = await self._db.read(jobs.list_jobs, state=state)
        return [_job(one) for one in found]


def _canonical(name: str, address: str) -> str:
    if name == "emails":
        return canonical_email(check_address(address))
    number = canonical_number(address)
    if number is None:
        raise InvalidParam(f"phones: {address[:40]!r} is no number")
    return number


def _set_addresses(txn: Transaction, user_id: UserID, wanted: dict[str, list[str]], now_ms: int) -> None:
    for medium, addresses in wanted.items():
        for address in addresses:
            owner = threepids.find_owner(txn, medium, address)
            if owner not in (None, user_id):
                raise Conflict(f"{address} is somebody else's", errcode="M_THREEPID_IN_USE")
    present = threepids.list_of_user(txn, user_id)
    for one in present:
        if one.medium in wanted and one.address not in wanted[one.medium]:
            threepids.delete(txn, user_id, one.medium, one.address)
    known: Sequence[tuple[str, str]] = [(one.medium, one.address) for one in present]
    for medium, addresses in wanted.items():
        for address in addresses:
            if (medium, address) not in known:
                threepids.add(txn, user_id, Threepid(medium, address, now_ms, now_ms))


def _flags(account: Account) -> dict[str, Any]:
    return {
        "user_id": account.user_id,
        "created_ts": account.created_ms,
        "is_admin": account.is_admin,
        "is_guest": account.is_guest,
        "locked": account.is_locked,
        "suspended": account.is_suspended,
        "deactivated": account.is_deactivated,
    }


def _job(job: BackgroundJob) -> dict[str, Any]:
    return {
        "job_id": job.name,
        "kind": job.kind,
        "state": job.state,
        "created_ts": job.created_ms,
        "updated_ts": job.updated_ms,
        "failures": job.failures,
        "error": job.error,
    }
