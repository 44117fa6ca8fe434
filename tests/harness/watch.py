"""Holds every answer that passes by against the specification, and remembers what was answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from tests.conformance.record import Recorder
from tests.conformance.specification import Operation, served
from tests.conformance.sync_events import check_sync_events
from tests.conformance.validator import (
    Answer,
    Nonconforming,
    check_answer,
    check_refusal,
    wants_authentication,
)

_recorder = Recorder()
# Under `/_synapse/client/` there are pages, for people.
_JSON = ("/_matrix/", "/_synapse/admin/", "/_hearth/")
DELAYED = "org.matrix.msc4140.delay="


def _is_meant(operation: Operation, query: Mapping[str, Any], body: Any) -> bool:
    """Which of two operations on one path is asked for."""
    match operation.operation_id:
        case "inviteBy3PID":
            return isinstance(body, dict) and "medium" in body
        case "inviteUser":
            return not isinstance(body, dict) or "medium" not in body
        case "peekEvents":
            return "room_id" in query
        case "getEvents":
            return "room_id" not in query
    return True


def meant(operations: Sequence[Operation], query: str, body: bytes) -> Operation | None:
    """The operation that a request means, of those served at its path."""
    if len(operations) == 1:
        return operations[0]
    try:
        parsed = json.loads(body) if body else {}
    except ValueError:
        parsed = None
    for operation in operations:
        if _is_meant(operation, parse_qs(query), parsed):
            return operation
    return None


class Watch:
    """One server's answers. A fault also fails the test that did not wait for the answer: see `check`.

    What is answered counts as demonstrated unless it was asked by chance (`is_recorded`).
    """

    def __init__(self, *, is_recorded: bool = True) -> None:
        self._faults: list[str] = []
        self._is_recorded = is_recorded

    def saw(self, method: str, target: str, body: bytes, answer: Answer) -> None:
        """Judge one answer.

        Raises:
            Nonconforming: the specification does not allow it.
        """
        path, _, query = target.partition("?")
        try:
            self._judge(method, path, query, body, answer)
        except Nonconforming as fault:
            self._faults.append(str(fault))
            raise

    def _judge(self, method: str, path: str, query: str, body: bytes, answer: Answer) -> None:
        what = f"{method} {path}"
        if path.startswith(("/_matrix/client/", "/_matrix/media/")) and (
            answer.headers.get("access-control-allow-origin") != "*"
        ):
            raise Nonconforming(f"{what}: {answer.status} without CORS headers")
        operation = meant(served().find(method, path), query, body)
        if DELAYED in query:
            # The answer is that of the proposal (MSC4140), not of the operation that it hangs on.
            operation = None
        if operation is not None:
            check_answer(operation, answer)
            if operation.operation_id == "sync" and answer.status == 200:
                check_sync_events(answer.json)
            if self._is_recorded:
                _recorder.saw(operation.key, answer.status, answer.errcode)
        elif answer.status >= 400 and path.startswith(_JSON) and not wants_authentication(answer):
            check_refusal(answer, what)

    def check(self) -> None:
        """Fail if any answer was at fault."""
        faults, self._faults = self._faults, []
        if faults:
            raise Nonconforming("\n".join(faults))
