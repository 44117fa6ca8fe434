"""The addresses of an account, and the identity servers that are told of them.

Spec: https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information
"""

from __future__ import annotations

from collections.abc import Sequence

from homeserver.errors import Forbidden
from homeserver.ids import UserID
from homeserver.runtime.clock import Clock
from homeserver.users.identifiers import canonical_address
from homeserver.users.identity_servers import IdentityServers
from homeserver.users.mail.validation import AddressValidation, Purpose, ThreepidInUse, check_secret
from storage import threepids
from storage.database import Database
from storage.threepids import Threepid
from storage.transaction import Transaction


class Threepids:
    """The addresses of users."""

    def __init__(
        self, db: Database, clock: Clock, sessions: Sequence[AddressValidation], identity: IdentityServers
    ) -> None:
        self._db = db
        self._clock = clock
        self._sessions = sessions
        self._identity = identity

    async def list_of_user(self, user_id: UserID) -> list[Threepid]:
        return await self._db.read(threepids.list_of_user, user_id)

    async def add(self, user_id: UserID, sid: str, client_secret: str) -> None:
        """Add an address that was proved to this server.

        Raises:
            Forbidden: it was not.
            ThreepidInUse: it is somebody else's.
        """
        check_secret(client_secret)
        for sessions in self._sessions:
            try:
                proved = await sessions.redeem(Purpose.ADDITION, sid, client_secret)
            except Forbidden:
                continue
            await self._db.run(_add, user_id, proved)
            return
        raise Forbidden("this address has not been confirmed yet", errcode="M_THREEPID_AUTH_FAILED")

    async def add_from(
        self, user_id: UserID, id_server: str, access_token: str, sid: str, client_secret: str
    ) -> None:
        """Add an address that was proved to an identity server.

        Raises:
            ServerNotTrusted, Forbidden, ThreepidInUse: it cannot be.
        """
        medium, address, at_ms = await self._identity.validated(id_server, access_token, sid, client_secret)
        await self._db.run(_add, user_id, Threepid(medium, address, at_ms, self._clock.now_ms()))

    async def bind(
        self, user_id: UserID, id_server: str, access_token: str, sid: str, client_secret: str
    ) -> None:
        """Have an identity server publish an address, and remember that it does."""
        medium, address = await self._identity.bind(user_id, id_server, access_token, sid, client_secret)
        await self._db.run(threepids.add_binding, user_id, medium, address, id_server)

    async def unbind(self, user_id: UserID, medium: str, address: str, id_server: str | None) -> bool:
        """Have identity servers forget an address: the one that is named, or all that know it."""
        address = canonical_address(medium, address)
        known = await self._db.read(threepids.list_bindings, user_id)
        servers = [
            server
            for known_medium, known_address, server in known
            if (known_medium, known_address) == (medium, address)
        ]
        if id_server is not None:
            servers = [id_server]
        results = [await self._unbind(user_id, medium, address, server) for server in servers]
        return bool(results) and all(results)

    async def unbind_all(self, user_id: UserID, id_server: str | None) -> bool:
        """As an account ends: whether every binding of the user is undone."""
        bindings = await self._db.read(threepids.list_bindings, user_id)
        results = [
            await self._unbind(user_id, medium, address, id_server or server)
            for medium, address, server in bindings
        ]
        return all(results)

    async def delete(self, user_id: UserID, medium: str, address: str, id_server: str | None) -> bool:
        """Take an address from the user; whether identity servers have forgotten it."""
        unbound = await self.unbind(user_id, medium, address, id_server)
        await self._db.run(threepids.delete, user_id, medium, canonical_address(medium, address))
        return unbound

    async def _unbind(self, user_id: UserID, medium: str, address: str, server: str) -> bool:
        unbound = await self._identity.unbind(user_id, medium, address, server)
        if unbound:
            await self._db.run(threepids.delete_binding, user_id, medium, address, server)
        return unbound


def _add(txn: Transaction, user_id: UserID, proved: Threepid) -> None:
    owner = threepids.find_owner(txn, proved.medium, proved.address)
    if owner is not None and owner != user_id:
        raise ThreepidInUse("somebody else has this address")
    threepids.add(txn, user_id, proved)
