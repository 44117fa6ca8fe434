"""Transactions: what other servers push, each once.

Spec: https://spec.matrix.org/v1.19/server-server-api/#transactions
"""

from __future__ import annotations

import msgspec
import structlog

from federation.inbound.edus import EduHandlers
from federation.wire.edus import RECEIPT
from federation.wire.transactions import (
    MAX_TRANSACTION_BYTES,
    PduResult,
    Transaction,
    TransactionResult,
    check_limits,
    parse_edu,
)
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.responses import RawJson
from homeserver.ids import ServerName
from homeserver.rooms.receiving import Receiving
from homeserver.rooms.turns import Turns
from homeserver.runtime.clock import Clock
from storage import federation as rows
from storage.database import Database

_log = structlog.get_logger(__name__)


class TransactionEndpoints:
    """Takes one transaction of a server at a time."""

    def __init__(self, db: Database, receiving: Receiving, edus: EduHandlers, clock: Clock) -> None:
        self._db = db
        self._receiving = receiving
        self._edus = edus
        self._clock = clock
        self._turns: Turns[ServerName] = Turns()

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/send/{txn_id}",
        auth=Auth.FEDERATION,
        rate_limit=RateLimit("federation"),
        max_body=MAX_TRANSACTION_BYTES,
    )
    async def send_transaction(self, origin: ServerName, txn_id: str, body: Transaction) -> RawJson:
        """Take events and messages; a transaction that comes again is answered as before.

        Spec: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1sendtxnid
        """
        check_limits(body, origin)
        async with self._turns.of(origin):
            answered = await self._db.read(rows.find_answer, origin, txn_id)
            if answered is not None:
                return RawJson(answered)
            edus = [edu for each in body.edus if (edu := parse_edu(each)) is not None]
            # A receipt may be for an event that comes with it.
            await self._edus.take(origin, [edu for edu in edus if edu.edu_type != RECEIPT])
            results = await self._receiving.receive_pdus(origin, body.pdus)
            await self._edus.take(origin, [edu for edu in edus if edu.edu_type == RECEIPT])
            result = TransactionResult({event_id: PduResult(error) for event_id, error in results.items()})
            answer = msgspec.json.encode(result)
            await self._db.run(rows.save_answer, origin, txn_id, answer, now_ms=self._clock.now_ms())
            return RawJson(answer)
