"""What every endpoint has in common is tried at every endpoint: who may ask, how often, and in what form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from config.rate_limits import Rate, RateLimitsConfig
from homeserver.http.endpoint import Auth
from homeserver.ids import EventID, RoomAlias, RoomID, ServerName, UserID
from tests.conformance.declared import Endpoint, served_endpoints
from tests.conformance.validator import Answer
from tests.harness.client import segment
from tests.harness.fixtures import ServerFactory
from tests.harness.server import Server
from tests.harness.user import User

_BY_TYPE: Mapping[Any, str] = {
    UserID: "@alice:one.test",
    RoomID: "!nothing:one.test",
    EventID: "$nothing",
    RoomAlias: "#nothing:one.test",
    ServerName: "one.test",
    int: "1",
}

# What is parsed by the handler itself.
_BY_NAME = {"room_id_or_alias": "#nothing:one.test", "kind": "content", "receipt_type": "m.read"}

USERS_ONLY = (Auth.ACCESS_TOKEN, Auth.ADMIN)


def placeholder(name: str, annotation: Any) -> str:
    """Something that parses for a parameter of this type."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    if get_origin(annotation) is Literal:
        return str(get_args(annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return str(next(iter(annotation)).value)
    return _BY_TYPE.get(annotation, "thing")


def path_of(endpoint: Endpoint) -> str:
    """The endpoint's path with something that parses for each parameter, and whatever its query must have."""
    hints = get_type_hints(endpoint.handler)
    parts = [
        segment(placeholder(name, hints.get(name)))
        if (name := part.strip("{}.")) and part[:1] == "{"
        else part
        for part in endpoint.declaration.path.split("/")
    ]
    needed = [
        f"{field.encode_name}={segment(placeholder(field.name, field.type))}"
        for field in (msgspec.structs.fields(hints["query"]) if "query" in hints else ())
        if field.required
    ]
    return "/".join(parts) + (f"?{'&'.join(needed)}" if needed else "")


def endpoints(*auths: Auth) -> Iterator[Endpoint]:
    for endpoint in served_endpoints():
        if not auths or endpoint.declaration.auth in auths:
            yield endpoint


def told(faults: list[str]) -> str:
    return "\n" + "\n".join(faults)


def fault(endpoint: Endpoint, answer: Answer, status: int, errcode: str) -> list[str]:
    if (answer.status, answer.errcode) == (status, errcode):
        return []
    what = f"{endpoint.declaration.method} {endpoint.declaration.path}"
    return [f"{what}: {answer.status} {answer.errcode}, not {status} {errcode}"]


async def test_nobody_in_particular_is_refused_what_is_for_users(quick_server: Server) -> None:
    faults = []
    nobody, impostor = quick_server.client(), quick_server.client("no such token")
    for endpoint in endpoints(*USERS_ONLY, Auth.APPSERVICE):
        method, path = endpoint.declaration.method, path_of(endpoint)
        faults += fault(endpoint, await nobody.ask(method, path), 401, "M_MISSING_TOKEN")
        faults += fault(endpoint, await impostor.ask(method, path), 401, "M_UNKNOWN_TOKEN")
    for endpoint in endpoints(Auth.ACCESS_TOKEN_OPTIONAL):
        method, path = endpoint.declaration.method, path_of(endpoint)
        faults += fault(endpoint, await impostor.ask(method, path), 401, "M_UNKNOWN_TOKEN")
    assert not faults, told(faults)


async def test_what_is_for_administrators_is_refused_to_others(quick_server: Server) -> None:
    alice = await quick_server.user("alice")
    faults = []
    for endpoint in endpoints(Auth.ADMIN):
        answer = await alice.ask(endpoint.declaration.method, path_of(endpoint))
        faults += fault(endpoint, answer, 403, "M_FORBIDDEN")
    assert not faults, told(faults)


async def test_what_is_for_servers_is_refused_to_the_unsigned(quick_server: Server) -> None:
    faults = []
    for endpoint in endpoints(Auth.FEDERATION):
        answer = await quick_server.client().ask(endpoint.declaration.method, path_of(endpoint))
        faults += fault(endpoint, answer, 401, "M_UNAUTHORIZED")
    assert not faults, told(faults)


async def test_guests_are_refused_what_is_not_for_them(make_server: ServerFactory) -> None:
    server = make_server(allow_guest_access=True)
    guest = await server.guest()
    faults = []
    for endpoint in endpoints(*USERS_ONLY):
        if not endpoint.declaration.guests:
            answer = await guest.ask(endpoint.declaration.method, path_of(endpoint))
            faults += fault(endpoint, answer, 403, "M_GUEST_ACCESS_FORBIDDEN")
    assert not faults, told(faults)


async def moderates(admin: User, what: str, user: User, flag: str) -> None:
    await admin.request("PUT", f"/_matrix/client/v1/admin/{what}/{segment(user.user_id)}", {flag: True})


async def test_the_locked_and_the_suspended_are_refused(quick_server: Server) -> None:
    alice, bob = await quick_server.users("alice", "bob")
    admin = await quick_server.admin()
    await moderates(admin, "lock", alice, "locked")
    await moderates(admin, "suspend", bob, "suspended")
    faults = []
    for endpoint in endpoints(Auth.ACCESS_TOKEN):
        declaration = endpoint.declaration
        if not declaration.locked:
            answer = await alice.ask(declaration.method, path_of(endpoint))
            faults += fault(endpoint, answer, 401, "M_USER_LOCKED")
            if answer.errcode == "M_USER_LOCKED" and answer.json.get("soft_logout") is not True:
                faults.append(f"{declaration.path}: locked, and not told that it is a soft logout")
        if not declaration.suspended:
            answer = await bob.ask(declaration.method, path_of(endpoint))
            faults += fault(endpoint, answer, 403, "M_USER_SUSPENDED")
    assert not faults, told(faults)


def scarcely(section: Any) -> dict[str, Any]:
    """Rate limits under which everything may be done once."""
    found: dict[str, Any] = {}
    for one in fields(section):
        value = getattr(section, one.name)
        if isinstance(value, Rate) or one.name == "rc_admin_redaction":
            found[one.name] = {"per_second": 0.0001, "burst_count": 1}
        elif is_dataclass(value) and one.name != "rc_federation":
            found[one.name] = scarcely(value)
    return found


_COUNTED = (Auth.NONE, Auth.ACCESS_TOKEN_OPTIONAL, *USERS_ONLY)
# Requests of other servers are counted in windows, and wait before they are refused: see the tests of federation.
_OF_SERVERS = ("/_matrix/federation/", "/_matrix/key/")
# Whoever does this once cannot do it twice.
_LAST_ACTS = ("/im/v1/auth/logout",)


async def test_who_asks_too_often_is_told_when_to_come_back(make_server: ServerFactory) -> None:
    server = make_server(**{**scarcely(RateLimitsConfig()), "enable_rate_limits": True})
    alice = await server.user("alice")
    address = 0
    faults = []
    for endpoint in endpoints():
        declaration = endpoint.declaration
        if declaration.rate_limit is None or declaration.auth not in _COUNTED:
            continue
        if declaration.path.startswith(_OF_SERVERS) or declaration.path in _LAST_ACTS:
            continue
        address += 1
        who = server.client(alice.access_token, address=f"10.1.{address // 250}.{address % 250}")
        await who.ask(declaration.method, path_of(endpoint))
        answer = await who.ask(declaration.method, path_of(endpoint))
        if answer.status in (401, 403) and declaration.auth is Auth.ADMIN:
            continue
        faults += fault(endpoint, answer, 429, "M_LIMIT_EXCEEDED")
    assert not faults, told(faults)


async def test_a_body_that_is_no_json_is_refused(quick_server: Server) -> None:
    faults = []
    admin = await quick_server.admin()
    for endpoint in endpoints(Auth.NONE, Auth.ACCESS_TOKEN_OPTIONAL, *USERS_ONLY):
        if "body" not in endpoint.handler.__annotations__:
            continue
        method, path = endpoint.declaration.method, path_of(endpoint)
        answer = await admin.ask(method, path, raw=b'{"name": ')
        faults += fault(endpoint, answer, 400, "M_NOT_JSON")
        answer = await admin.ask(method, path, raw=b'"text"')
        faults += fault(endpoint, answer, 400, "M_BAD_JSON")
    assert not faults, told(faults)


async def test_the_wrong_method_is_refused_and_a_preflight_answered(quick_server: Server) -> None:
    faults = []
    nobody = quick_server.client()
    taken: dict[str, set[str]] = {}
    for endpoint in endpoints():
        taken.setdefault(path_of(endpoint), set()).add(endpoint.declaration.method)
    for endpoint in endpoints():
        path = path_of(endpoint)
        if not path.startswith("/_matrix/"):
            continue
        if "PATCH" not in taken[path]:
            faults += fault(endpoint, await nobody.ask("PATCH", path), 405, "M_UNRECOGNIZED")
        preflight = await nobody.ask("OPTIONS", path)
        if preflight.status not in (200, 204) or preflight.headers.get("access-control-allow-origin") != "*":
            faults.append(f"OPTIONS {path}: {preflight.status} {dict(preflight.headers)}")
    assert not faults, told(faults)
