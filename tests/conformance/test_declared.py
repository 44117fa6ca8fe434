"""What is declared, what is served and what the specification has, joined."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from homeserver.http.endpoint import Auth
from tests.conformance.corrections import (
    AUTHENTICATED_OTHERWISE,
    BEYOND_THE_SPECIFICATION,
    LIMITED_OTHERWISE,
    NAMED_OTHERWISE,
    NOT_SERVED,
    NOT_SERVED_YET,
    is_not_served,
)
from tests.conformance.declared import (
    Endpoint,
    declared_endpoints,
    endpoint_by_operation,
    operations_of,
    served_endpoints,
)
from tests.conformance.specification import SERVED_APIS, Operation, operations


def served_operations() -> Iterator[tuple[Operation, Endpoint]]:
    endpoints = endpoint_by_operation()
    for operation in operations(*SERVED_APIS):
        if operation.key in endpoints:
            yield operation, endpoints[operation.key]


def told(lines: list[str]) -> str:
    return "\n" + "\n".join(lines)


def test_everything_declared_is_served() -> None:
    served = {(endpoint.declaration.method, endpoint.declaration.path) for endpoint in served_endpoints()}
    forgotten = [
        f"{endpoint.declaration.method} {endpoint.declaration.path}: {endpoint.where}"
        for endpoint in declared_endpoints()
        if (endpoint.declaration.method, endpoint.declaration.path) not in served
    ]
    assert not forgotten, told(forgotten)


def test_everything_in_the_specification_is_served_or_left_out_for_a_reason() -> None:
    endpoints = endpoint_by_operation()
    missing = [
        f"{operation.key}: {operation.method} {operation.path}"
        for operation in operations(*SERVED_APIS)
        if operation.key not in endpoints and not is_not_served(operation.key, operation.path)
    ]
    assert not missing, told(missing)


def test_nothing_is_said_to_be_left_out_that_is_served() -> None:
    known = {operation.key for operation in operations(*SERVED_APIS)}
    assert set(NOT_SERVED) <= known
    assert not sorted(set(NOT_SERVED) & set(endpoint_by_operation()))
    assert all(NOT_SERVED.values())


def test_what_is_not_served_yet_is_not_served() -> None:
    endpoints = endpoint_by_operation()
    for pattern, what in NOT_SERVED_YET.items():
        missing = [
            operation
            for operation in operations(*SERVED_APIS)
            if re.match(pattern, operation.path) and operation.key not in endpoints
        ]
        assert missing, f"all of {what} is served by now: take the line out of corrections.py"


def test_everything_served_is_in_the_specification_or_known_to_be_beyond_it() -> None:
    unknown = [
        f"{endpoint.declaration.method} {endpoint.declaration.path}: {endpoint.where}"
        for endpoint in served_endpoints()
        if not operations_of(endpoint)
        and not any(re.match(prefix, endpoint.declaration.path) for prefix in BEYOND_THE_SPECIFICATION)
    ]
    assert not unknown, told(unknown)


def test_handlers_are_named_after_their_operation() -> None:
    strange = []
    for operation, endpoint in served_operations():
        name = endpoint.declaration.operation
        names = {other.operation_id.replace("_", "").lower() for other in operations_of(endpoint)}
        if name.replace("_", "") not in names and NAMED_OTHERWISE.get(operation.key) != name:
            strange.append(f"{operation.operation_id} is {endpoint.where}")
    assert not strange, told(strange)


def test_what_needs_authentication_asks_for_it() -> None:
    wrong = []
    for operation, endpoint in served_operations():
        auth = endpoint.declaration.auth
        if operation.key in AUTHENTICATED_OTHERWISE:
            if auth is not Auth[AUTHENTICATED_OTHERWISE[operation.key][0]]:
                wrong.append(f"{operation.key} asks for {auth.value}")
            continue
        expected = (Auth.FEDERATION,) if operation.api == "server-server" else tuple(Auth)
        if operation.secured != (auth is not Auth.NONE) or (operation.secured and auth not in expected):
            wrong.append(f"{operation.key} asks for {auth.value}: {endpoint.where}")
    assert not wrong, told(wrong)


def test_what_the_specification_limits_is_limited() -> None:
    unlimited = [
        f"{operation.key}: {endpoint.where}"
        for operation, endpoint in served_operations()
        if operation.rate_limited
        and endpoint.declaration.rate_limit is None
        and operation.key not in LIMITED_OTHERWISE
    ]
    assert not unlimited, told(unlimited)


def test_handlers_say_where_the_specification_describes_them() -> None:
    silent = [
        endpoint.where
        for operation, endpoint in served_operations()
        if not re.search(r"Spec: https://spec\.matrix\.org/(v1\.19|latest|unstable)/", endpoint.documentation)
    ]
    assert not silent, told(silent)


@pytest.mark.parametrize("path", ["/_matrix/client/v3/sync", "/_matrix/client/v3/rooms/{room_id}/members"])
def test_what_is_under_v3_is_under_r0_too(path: str) -> None:
    (endpoint,) = [each for each in served_endpoints() if each.declaration.path == path]
    assert path.replace("/v3/", "/r0/") in set(endpoint.declaration.paths())
