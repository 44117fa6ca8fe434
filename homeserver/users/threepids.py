"""The addresses of an account, and the identity servers that are told of them.

Spec: https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from homeserver.errors import Forbidden, MatrixError, RemoteError
from homeserver.ids import ServerName, UserID, parse_server_name
from homeserver.runtime.clock import Clock
from homeserver.users.identifiers import canonical_email
from homeserver.users.mail.validation import EmailValidation, Purpose, ThreepidInUse, check_secret
from homeserver.users.phone_numbers import canonical_number
from storage import threepids
from storage.database import Database
from storage.threepids import Threepid
from storage.transaction import Transaction

_IDENTITY = "/_matrix/identity/v2/3pid"


class ServerNotTrusted(MatrixError):
    errcode = "M_SERVER_NOT_TRUSTED"


class IdentityWeb(Protocol):
    """The way to identity servers."""

    async def get_json(self, url: str, *, headers: Mapping[str, str] | None = None) -> Any: ...

    async def post_json(self, url: str, value: Any, *, headers: Mapping[str, str] | None = None) -> Any: ...


class Signer(Protocol):
    """Says in this server's name who asks."""

    def authorization(self, method: str, uri: str, destination: ServerName, content: Any) -> str:
        """The Authorization header of a request."""


class IdentityServers:
    """What identity servers are asked; without a way to them nothing is."""

    def __init__(self, web: IdentityWeb | None, signer: Signer, trusted: Collection[str]) -> None:
        self._web = web
        self._signer = signer
        self._trusted = frozenset(trusted)

    async def validated(
        self, id_server: str, access_token: str, sid: str, secret: str
    ) -> tuple[str, str, int]:
        """Medium, address and time of a proof that somebody gave to an identity server of our trust.

        Raises:
            ServerNotTrusted: it is none.
            Forbidden: it knows of no such proof.
        """
        check_secret(secret)
        if id_server not in self._trusted or not sid.isalnum():
            raise ServerNotTrusted(f"{id_server} is not trusted here")
        path = f"{_IDENTITY}/getValidated3pid?sid={sid}&client_secret={secret}"
        try:
            found = await self._reach().get_json(
                f"https://{id_server}{path}", headers={"Authorization": f"Bearer {access_token}"}
            )
            return str(found["medium"]), str(found["address"]), int(found["validated_at"])
        except (RemoteError, LookupError, TypeError, ValueError):
            raise Forbidden(f"{id_server} knows of no such proof", errcode="M_THREEPID_AUTH_FAILED") from None

    async def bind(
        self, user_id: UserID, id_server: str, access_token: str, sid: str, secret: str
    ) -> tuple[str, str]:
        """Tell an identity server whose the address is that was proved to it; medium and address.

        Raises:
            RemoteError: it refused.
        """
        check_secret(secret)
        content = {"sid": sid, "client_secret": secret, "mxid": user_id}
        bound = await self._reach().post_json(
            f"https://{parse_server_name(id_server)}{_IDENTITY}/bind",
            content,
            headers={"Authorization": f"Bearer {access_token}"},
        )
        try:
            return str(bound["medium"]), str(bound["address"])
        except (LookupError, TypeError):
            raise RemoteError(f"{id_server} did not say what it bound") from None

    async def unbind(self, user_id: UserID, medium: str, address: str, id_server: str) -> bool:
        """Tell an identity server to forget an address; whether it did."""
        if self._web is None:
            return False
        server = parse_server_name(id_server)
        content = {"mxid": user_id, "threepid": {"medium": medium, "address": address}}
        header = self._signer.authorization("POST", f"{_IDENTITY}/unbind", server, content)
        try:
            await self._web.post_json(
                f"https://{server}{_IDENTITY}/unbind", content, headers={"Authorization": header}
            )
        except RemoteError:
            return False
        return True

    def _reach(self) -> IdentityWeb:
        if self._web is None:
            raise RemoteError("identity servers cannot be reached from here")
        return self._web


class Threepids:
    """The addresses of users."""

    def __init__(
        self, db: Database, clock: Clock, sessions: EmailValidation | None, identity: IdentityServers
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
        if self._sessions is None:
            raise Forbidden("this server sends no mail", errcode="M_THREEPID_AUTH_FAILED")
        proved = await self._sessions.redeem(Purpose.ADDITION, sid, client_secret)
        await self._db.run(_add, user_id, proved)

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
        address = _canonical(medium, address)
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
        await self._db.run(threepids.delete, user_id, medium, _canonical(medium, address))
        return unbound

    async def _unbind(self, user_id: UserID, medium: str, address: str, server: str) -> bool:
        unbound = await self._identity.unbind(user_id, medium, address, server)
        if unbound:
            await self._db.run(threepids.delete_binding, user_id, medium, address, server)
        return unbound


def _canonical(medium: str, address: str) -> str:
    if medium == "msisdn":
        return canonical_number("+" + address.lstrip("+")) or address
    return canonical_email(address)


def _add(txn: Transaction, user_id: UserID, proved: Threepid) -> None:
    owner = threepids.find_owner(txn, proved.medium, proved.address)
    if owner is not None and owner != user_id:
        raise ThreepidInUse("somebody else has this address")
    threepids.add(txn, user_id, proved)
