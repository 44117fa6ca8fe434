"""Whether an answer is one that the specification allows.

Schemas compile once per (operation, status) and check at native speed, so the harness can hold every answer of every
test against them as it goes by.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs

from tests.conformance.bundle import bundle
from tests.conformance.specification import BASE_URI, Operation, Response, called

_ERROR_URI = f"{BASE_URI}api/client-server/definitions/errors/error.yaml"
_RATE_LIMITED_URI = f"{BASE_URI}api/client-server/definitions/errors/rate_limited.yaml"
_ERRCODE = re.compile(r"[A-Z][A-Z0-9_.]*")
_SERVER = r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,230})(?::[0-9]{1,5})?"


class Nonconforming(AssertionError):
    """An answer that the specification does not allow."""


@dataclass(frozen=True)
class Answer:
    """What a server said; header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @functools.cached_property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def errcode(self) -> str | None:
        if self.status < 400 or self.media_type != "application/json":
            return None
        body = self.json
        return body.get("errcode") if isinstance(body, dict) else None


def _matching(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.DOTALL)
    return lambda value: compiled.fullmatch(value) is not None and len(value.encode()) <= 255


def _is_unpadded_base64(value: str) -> bool:
    try:
        base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return False
    return not value.endswith("=")


_FORMATS: dict[str, Callable[[str], bool]] = {
    "mx-user-id": _matching(rf"@[^:\0]*:{_SERVER}"),
    "mx-room-id": _matching(rf"![^:\0]+(?::{_SERVER})?"),
    "mx-event-id": _matching(r"\$[^\0]+"),
    "mx-room-alias": _matching(rf"#[^:\0]*:{_SERVER}"),
    "mx-server-name": _matching(_SERVER),
    "mx-mxc-uri": _matching(rf"mxc://{_SERVER}/[0-9A-Za-z_-]+"),
    "mx-unpadded-base64": _is_unpadded_base64,
}


@functools.cache
def schema_validator(uri: str) -> Any:
    """The compiled schema that stands at `uri`."""
    return jsonschema_rs.Draft202012Validator(bundle(uri), formats=_FORMATS, validate_formats=True)


def check_schema(uri: str, value: Any, what: str) -> None:
    """Hold `value` against the schema at `uri`.

    Raises:
        Nonconforming: saying where it differs.
    """
    validator = schema_validator(uri)
    if validator.is_valid(value):
        return
    faults = []
    for error in list(validator.iter_errors(value))[:5]:
        at = "/".join(str(part) for part in error.instance_path) or "the whole body"
        faults.append(f"  at {at}: {error.message[:300]}")
    raise Nonconforming(
        f"{what} does not validate against {uri.removeprefix(BASE_URI)}\n" + "\n".join(faults)
    )


def check_request(method: str, path: str, body: Any) -> None:
    """Hold what the server asks of somebody else (an identity server, a gateway, a bridge) against what they take.

    Raises:
        Nonconforming: they serve no such thing, or not with such a body.
    """
    what = f"the request {method} {path}"
    found = called().find(method, path)
    if not found:
        raise Nonconforming(f"{what} is none of the specification")
    if found[0].body_schema_uri is not None:
        check_schema(found[0].body_schema_uri, body, what)


def check_refusal(answer: Answer, what: str) -> None:
    """Every refusal is a standard error response.

    Spec: https://spec.matrix.org/v1.19/client-server-api/#standard-error-response
    """
    if answer.status >= 500 and answer.status not in (501, 502, 503, 504):
        raise Nonconforming(f"{what}: {answer.status} {answer.body[:500]!r}")
    if answer.media_type != "application/json":
        raise Nonconforming(f"{what}: {answer.status} of type {answer.media_type!r}: {answer.body[:200]!r}")
    body = answer.json
    check_schema(_ERROR_URI, body, what)
    if not _ERRCODE.fullmatch(body["errcode"]):
        raise Nonconforming(f"{what}: {body['errcode']!r} is no error code")
    if not isinstance(body.get("error"), str) or not body["error"]:
        raise Nonconforming(f"{what}: {body['errcode']} does not say what is wrong")
    if "Traceback" in body["error"]:
        raise Nonconforming(f"{what}: a traceback reached the client")
    if answer.status == 429:
        check_schema(_RATE_LIMITED_URI, body, what)
        if not answer.headers.get("retry-after", "").isdigit():
            raise Nonconforming(f"{what}: 429 without Retry-After")


def wants_authentication(answer: Answer) -> bool:
    """Whether it asks for another stage of interactive authentication."""
    return answer.status == 401 and b'"flows"' in answer.body


def _declared(operation: Operation, status: int) -> Response | None:
    return operation.responses.get(str(status)) or operation.responses.get(f"{status // 100}XX")


def check_answer(operation: Operation, answer: Answer) -> None:
    """Hold the answer to a request for `operation` against what the specification declares.

    Raises:
        Nonconforming: saying what differs.
    """
    what = f"{operation.method} {operation.path} ({operation.operation_id}) -> {answer.status}"
    if answer.status in (206, 304):
        # What HTTP itself defines for a client that asks for a part, or has it already.
        return
    declared = _declared(operation, answer.status)
    if answer.status >= 400:
        is_unfinished = wants_authentication(answer)
        if not is_unfinished:
            check_refusal(answer, what)
        # An access token is refused with the same status as an unfinished authentication.
        if declared is None or declared.schema_uri is None or (answer.status == 401 and not is_unfinished):
            return
    elif declared is None:
        raise Nonconforming(f"{what}: the specification declares {', '.join(operation.responses)}")
    if declared.schema_uri is None:
        return
    if len(declared.media_types) > 1 and answer.media_type != "application/json":
        return
    if answer.media_type != "application/json":
        raise Nonconforming(f"{what}: its type is {answer.media_type!r}, not application/json")
    try:
        body = answer.json
    except ValueError as error:
        raise Nonconforming(f"{what}: {error}: {answer.body[:200]!r}") from None
    check_schema(declared.schema_uri, body, what)
