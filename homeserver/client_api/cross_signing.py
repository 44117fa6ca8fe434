"""Cross-signing keys, and signatures by them.

Spec: https://spec.matrix.org/v1.19/client-server-api/#cross-signing
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import msgspec

from homeserver.e2ee.cross_signing import CrossSigning
from homeserver.errors import BadJson
from homeserver.http.endpoint import RateLimit, endpoint
from homeserver.http.requester import Requester
from homeserver.http.responses import Empty
from homeserver.ids import UserID
from homeserver.users.interactive_auth import InteractiveAuth

MAX_BODY = 2 * 1024 * 1024
OPERATION = "POST /keys/device_signing/upload"
DESCRIPTION = "reset your cryptographic identity"


class OAuthSessions(Protocol):
    """Knows which sessions began with OAuth: those prove who they are at the authorisation server."""

    @property
    def stages(self) -> list[str]:
        """The stages that send the user there: `m.oauth` and what it was called before it was stable."""
        ...

    async def is_oauth(self, who: Requester) -> bool: ...


class NoOAuth:
    """A server without OAuth."""

    stages: list[str] = []

    async def is_oauth(self, who: Requester) -> bool:
        return False


class UploadSigningKeys(msgspec.Struct):
    """A user's cross-signing keys, any of them."""

    master_key: dict[str, Any] | None = None
    self_signing_key: dict[str, Any] | None = None
    user_signing_key: dict[str, Any] | None = None
    auth: dict[str, Any] | None = None

    def by_usage(self) -> dict[str, dict[str, Any]]:
        keys = {
            "master": self.master_key,
            "self_signing": self.self_signing_key,
            "user_signing": self.user_signing_key,
        }
        return {usage: key for usage, key in keys.items() if key is not None}


class CrossSigningEndpoints:
    """Uploads of keys and signatures."""

    def __init__(
        self, cross_signing: CrossSigning, interactive_auth: InteractiveAuth, oauth: OAuthSessions
    ) -> None:
        self._cross_signing = cross_signing
        self._auth = interactive_auth
        self._oauth = oauth

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/device_signing/upload",
        aliases=("/_matrix/client/unstable/keys/device_signing/upload",),
        rate_limit=RateLimit("keys"),
    )
    async def upload_cross_signing_keys(self, who: Requester, body: UploadSigningKeys) -> Empty:
        """Publish cross-signing keys; to replace them the user has to prove who they are.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysdevice_signingupload
        """
        keys = body.by_usage()
        async with self._proven(who, keys, body.auth):
            await self._cross_signing.upload(who.user_id, keys)
        return Empty()

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/signatures/upload",
        aliases=("/_matrix/client/unstable/keys/signatures/upload",),
        rate_limit=RateLimit("keys"),
        max_body=MAX_BODY,
    )
    async def upload_cross_signing_signatures(self, who: Requester, body: dict[str, Any]) -> dict[str, Any]:
        """Publish signatures of one's own keys and of those of others.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keyssignaturesupload
        """
        for user_id, keys in body.items():
            if not isinstance(keys, dict) or not all(isinstance(key, dict) for key in keys.values()):
                raise BadJson(f"body {user_id[:255]}: this must be an object of objects")
        signed = {UserID(user_id): keys for user_id, keys in body.items()}
        return {"failures": await self._cross_signing.sign(who.user_id, signed)}

    @asynccontextmanager
    async def _proven(
        self, who: Requester, keys: Mapping[str, Mapping[str, Any]], auth: dict[str, Any] | None
    ) -> AsyncIterator[None]:
        needs_proof = who.appservice_id is None and await self._cross_signing.needs_proof(who.user_id, keys)
        if not needs_proof:
            yield
        elif await self._oauth.is_oauth(who):
            flows = [[stage] for stage in self._oauth.stages]
            async with self._auth.proven(
                OPERATION, flows, auth, user_id=who.user_id, description=DESCRIPTION
            ):
                yield
        else:
            async with self._auth.proven_by_user(OPERATION, auth, who.user_id, description=DESCRIPTION):
                yield
