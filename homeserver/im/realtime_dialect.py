"""How the IM API's socket speaks: a frame for each thing that happened, and calls by `op` and `id` (design, B.12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from homeserver.errors import BadJson, MatrixError
from homeserver.im.updates import Updates
from homeserver.sync.answer import Answer
from homeserver.sync.dialect import Call, check_id


class RealtimeDialect:
    """A call is `{"op", "id", ...}`; its answer is `{"type": "ok" or "error", "id", ...}`."""

    ping_every_s = 30.0
    stalled_s = 30.0

    def frames(self, answer: Answer) -> Sequence[bytes]:
        told = answer.frames if isinstance(answer, Updates) else ()
        return (*told, msgspec.json.encode({"type": "token", "next_batch": str(answer.token)}))

    def call(self, request: Mapping[str, Any]) -> Call:
        name = request.get("op")
        if not isinstance(name, str):
            raise BadJson("op must name what to do")
        check_id(request)
        return Call(name, {key: value for key, value in request.items() if key not in ("op", "id")})

    def result(self, request_id: object, result: Mapping[str, Any]) -> bytes:
        return msgspec.json.encode({**result, "type": "ok", "id": request_id})

    def refusal(self, request_id: object, error: MatrixError) -> bytes:
        return msgspec.json.encode({**error.body(), "type": "error", "id": request_id})

    def farewell(self, refusal: MatrixError) -> bytes | None:
        return msgspec.json.encode({"type": "session.revoked", **refusal.body()})
