"""All application services: telling them, asking them, and what they may ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from homeserver.appservices.client import BadStatus, ServiceClient
from homeserver.appservices.directory import Appservices
from homeserver.appservices.ephemera import Ephemera, PresenceSource
from homeserver.appservices.follower import Following, ServiceFollower
from homeserver.appservices.interest import Interest
from homeserver.errors import Forbidden, MatrixError, RemoteError
from homeserver.http.gate.exchange import NoAnswerInTime
from homeserver.http.gate.reading import Answer
from homeserver.http.wire import encode_json
from homeserver.ids import RoomAlias, ServerName, UserID, domain_of
from homeserver.runtime.clock import Clock
from homeserver.runtime.notifier import LogEntry, Notifier
from storage import users
from storage.database import Database

MAX_BODY_SHOWN = 1000


class Telling:
    """Has every service that can be reached told of what it wants to hear."""

    def __init__(
        self, appservices: Appservices, following: Following, presence: PresenceSource, notifier: Notifier
    ) -> None:
        self._followers: list[ServiceFollower] = []
        for service in appservices.all:
            if service.registration.url is not None:
                interest = Interest(service, following.rooms)
                ephemera = Ephemera(interest, following.rooms, presence, following.clock)
                self._followers.append(ServiceFollower(service, following, interest, ephemera))
        if self._followers:
            notifier.subscribe(self._on_entries)
            notifier.subscribe_ephemeral(self._on_ephemeral)

    def start(self) -> None:
        for follower in self._followers:
            follower.start()

    async def stop(self) -> None:
        for follower in self._followers:
            await follower.stop()

    def _on_entries(self, entries: Sequence[LogEntry]) -> None:
        for follower in self._followers:
            follower.committed(entries)

    def _on_ephemeral(self, kind: str, room_id: str | None, user_id: str | None, position: int) -> None:
        for follower in self._followers:
            follower.passed(kind, room_id, user_id)


class Asking:
    """Asks services for users and rooms that do not exist yet, and whether they can be reached."""

    def __init__(
        self,
        appservices: Appservices,
        client: ServiceClient,
        db: Database,
        clock: Clock,
        *,
        server_name: ServerName,
    ) -> None:
        self._appservices = appservices
        self._client = client
        self._db = db
        self._clock = clock
        self._server_name = server_name

    async def check_invitation(self, _inviter: UserID, invitee: UserID, _content: Mapping[str, Any]) -> None:
        """Somebody is about to be invited: their service may want to make them first."""
        if domain_of(invitee) != self._server_name or not self._appservices.all:
            return
        owners = self._appservices.owners(invitee)
        if owners and not await self._db.read(users.exists, invitee):
            for service in owners:
                if await self._client.knows(service, "users", invitee):
                    return

    async def find_alias(self, alias: RoomAlias) -> bool:
        """Whether a service has just made the room that an alias stands for."""
        for service in self._appservices.all:
            if service.is_interested_in_alias(alias) and await self._client.knows(service, "rooms", alias):
                return True
        return False

    async def ping(self, appservice_id: str, asker_id: str | None, txn_id: str | None) -> int:
        """How long (ms) the service takes to answer.

        Raises:
            Forbidden: whoever asks is not the service.
            PingFailed, PingTimedOut: it did not answer well, or not in time.
            MatrixError: it has no URL.
        Spec: https://spec.matrix.org/v1.19/application-service-api/#pinging
        """
        if asker_id != appservice_id:
            raise Forbidden("an application service can only have itself pinged")
        service = self._appservices.load(appservice_id)
        if service.registration.url is None:
            raise MatrixError("the application service has no URL", errcode="M_URL_NOT_SET")
        began = self._clock.seconds()
        try:
            await self._client.ping(
                service, encode_json({} if txn_id is None else {"transaction_id": txn_id})
            )
        except BadStatus as error:
            raise PingFailed(str(error), error.answer) from error
        except NoAnswerInTime as error:
            raise PingTimedOut(str(error)) from error
        except RemoteError as error:
            raise PingFailed(str(error)) from error
        return int((self._clock.seconds() - began) * 1000)


class PingFailed(MatrixError):
    """The service did not answer its server well."""

    status = 502
    errcode = "M_CONNECTION_FAILED"

    def __init__(self, error: str, answer: Answer | None = None) -> None:
        super().__init__(error, errcode=None if answer is None else "M_BAD_STATUS")
        if answer is not None:
            body = answer.body[:MAX_BODY_SHOWN].decode("utf-8", "replace")
            self.extra = {"status": answer.status, "body": body}


class PingTimedOut(MatrixError):
    """The service did not answer its server in time."""

    status = 504
    errcode = "M_CONNECTION_TIMEOUT"
