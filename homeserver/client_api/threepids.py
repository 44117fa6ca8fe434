"""The addresses of an account.

Spec: https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from homeserver.errors import Forbidden
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.users.interactive_auth import InteractiveAuth
from homeserver.users.threepids import Threepids

_V3 = "/_matrix/client/v3/account/3pid"
_LIMIT = RateLimit("account_3pid")


class AddThreepid(msgspec.Struct):
    """A proof that was given to this server."""

    client_secret: str
    sid: str
    auth: dict[str, Any] | None = None


class IdentityProof(msgspec.Struct):
    """A proof that was given to an identity server."""

    client_secret: str
    id_server: str
    id_access_token: str
    sid: str


class PostThreepid(msgspec.Struct):
    """The same, as it was before r0.6."""

    three_pid_creds: IdentityProof


class RemoveThreepid(msgspec.Struct):
    """An address that goes."""

    medium: Literal["email", "msisdn"]
    address: str
    id_server: str | None = None


class ThreepidEndpoints:
    """Addresses, and identity servers that are told of them."""

    def __init__(self, threepids: Threepids, interactive_auth: InteractiveAuth, *, may_change: bool) -> None:
        self._threepids = threepids
        self._auth = interactive_auth
        self._may_change = may_change

    @endpoint("GET", _V3)
    async def get_account_3pids(self, who: Requester) -> dict[str, Any]:
        """The user's addresses.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3account3pid
        """
        found = await self._threepids.list_of_user(who.user_id)
        return {
            "threepids": [
                {
                    "medium": one.medium,
                    "address": one.address,
                    "validated_at": one.validated_ms,
                    "added_at": one.added_ms,
                }
                for one in found
            ]
        }

    @endpoint("POST", _V3, rate_limit=_LIMIT)
    async def post_3pids(self, who: Requester, body: PostThreepid) -> Empty:
        """Add an address that was proved to an identity server.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pid
        """
        self._check()
        proof = body.three_pid_creds
        await self._threepids.add_from(
            who.user_id, proof.id_server, proof.id_access_token, proof.sid, proof.client_secret
        )
        return Empty()

    @endpoint("POST", f"{_V3}/add", rate_limit=_LIMIT)
    async def add_3pid(self, who: Requester, body: AddThreepid) -> Empty:
        """Add an address that was proved to this server.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidadd
        """
        self._check()
        async with self._auth.proven_by_user(
            "POST /account/3pid/add", body.auth, who.user_id, description="add an address to your account"
        ):
            await self._threepids.add(who.user_id, body.sid, body.client_secret)
        return Empty()

    @endpoint("POST", f"{_V3}/bind", rate_limit=_LIMIT)
    async def bind_3pid(self, who: Requester, body: IdentityProof) -> Empty:
        """Have an identity server publish an address.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidbind
        """
        await self._threepids.bind(
            who.user_id, body.id_server, body.id_access_token, body.sid, body.client_secret
        )
        return Empty()

    @endpoint("POST", f"{_V3}/unbind", rate_limit=_LIMIT)
    async def unbind_3pid_from_account(self, who: Requester, body: RemoveThreepid) -> dict[str, str]:
        """Have identity servers forget an address.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidunbind
        """
        return _told(await self._threepids.unbind(who.user_id, body.medium, body.address, body.id_server))

    @endpoint("POST", f"{_V3}/delete", rate_limit=_LIMIT)
    async def delete_3pid_from_account(self, who: Requester, body: RemoveThreepid) -> dict[str, str]:
        """Take an address from the account.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3piddelete
        """
        self._check()
        return _told(await self._threepids.delete(who.user_id, body.medium, body.address, body.id_server))

    def _check(self) -> None:
        if not self._may_change:
            raise Forbidden("addresses cannot be changed on this server")


def _told(unbound: bool) -> dict[str, str]:  # noqa: FBT001  # the one thing to tell
    return {"id_server_unbind_result": "success" if unbound else "no-support"}
