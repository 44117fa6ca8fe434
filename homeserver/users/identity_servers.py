"""Identity servers: what they are asked and told of people's addresses, at the address that a client names.

They are reached through the gate, so a client cannot have this server ask its neighbours.
Spec: https://spec.matrix.org/v1.19/identity-service-api/
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from homeserver.errors import Forbidden, MatrixError, RemoteError
from homeserver.ids import ServerName, UserID, is_user_id, parse_server_name
from homeserver.users.mail.validation import check_secret

_IDENTITY = "/_matrix/identity/v2"
_TOKEN = re.compile(r"[0-9a-zA-Z.=_-]{1,255}")


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


@dataclass(frozen=True, slots=True)
class StoredInvite:
    """What an identity server has kept for somebody it does not know yet: `token` is the event's state key."""

    token: str
    display_name: str
    public_keys: list[dict[str, str]]


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
        path = f"{_IDENTITY}/3pid/getValidated3pid?sid={sid}&client_secret={secret}"
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
            f"https://{parse_server_name(id_server)}{_IDENTITY}/3pid/bind",
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
        header = self._signer.authorization("POST", f"{_IDENTITY}/3pid/unbind", server, content)
        try:
            await self._web.post_json(
                f"https://{server}{_IDENTITY}/3pid/unbind", content, headers={"Authorization": header}
            )
        except RemoteError:
            return False
        return True

    async def find_user(self, id_server: str, access_token: str, medium: str, address: str) -> UserID | None:
        """Whose an address is, as an identity server knows.

        Raises:
            RemoteError: it does not say.
        """
        base = f"https://{parse_server_name(id_server)}{_IDENTITY}"
        headers = {"Authorization": f"Bearer {access_token}"}
        details = await self._reach().get_json(f"{base}/hash_details", headers=headers)
        pepper = details.get("lookup_pepper") if isinstance(details, dict) else None
        if not isinstance(pepper, str) or "sha256" not in (details.get("algorithms") or ()):
            raise RemoteError(f"{id_server} does not say how it hashes addresses")
        hashed = _hashed(address, medium, pepper)
        asked = {"algorithm": "sha256", "pepper": pepper, "addresses": [hashed]}
        found = await self._reach().post_json(f"{base}/lookup", asked, headers=headers)
        mappings = found.get("mappings") if isinstance(found, dict) else None
        user_id = mappings.get(hashed) if isinstance(mappings, dict) else None
        return UserID(str(user_id)) if is_user_id(user_id) else None

    async def store_invite(
        self, id_server: str, access_token: str, invitation: Mapping[str, Any]
    ) -> StoredInvite:
        """Have an identity server tell the owner of an address that they are invited.

        Raises:
            RemoteError: it refused, or its answer makes no event.
        """
        stored = await self._reach().post_json(
            f"https://{parse_server_name(id_server)}{_IDENTITY}/store-invite",
            invitation,
            headers={"Authorization": f"Bearer {access_token}"},
        )
        try:
            token, name = stored["token"], stored["display_name"]
            keys = [
                {"public_key": str(key["public_key"]), "key_validity_url": str(key["key_validity_url"])}
                for key in stored["public_keys"]
            ]
        except (LookupError, TypeError):
            raise RemoteError(f"{id_server} did not say how the invitation can be redeemed") from None
        if not isinstance(token, str) or not _TOKEN.fullmatch(token) or not isinstance(name, str) or not keys:
            raise RemoteError(f"{id_server} gave a token or keys that cannot be")
        return StoredInvite(token, name, keys)

    def _reach(self) -> IdentityWeb:
        if self._web is None:
            raise RemoteError("identity servers cannot be reached from here")
        return self._web


def _hashed(address: str, medium: str, pepper: str) -> str:
    digest = hashlib.sha256(f"{address} {medium} {pepper}".encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
