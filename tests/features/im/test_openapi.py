"""The description of the IM API: it is what is served, and what is served withstands what is made of it."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.harness.client import Client, segment
from tests.harness.im_user import ImUser, im_call
from tests.harness.server import Server

EXAMPLES = 4
ENDS_THE_SESSION = {"log_out", "delete_me", "end_session"}
WAITS = {"get_updates", "connect_socket"}
STREAMS = {"upload_media"}


async def described(server: Server) -> dict[str, Any]:
    return await im_call(server.client(), "GET", "/openapi.json")


async def test_every_route_is_described_and_nothing_else(server: Server) -> None:
    document = await described(server)
    routes = {
        (route.declaration.method, route.declaration.path)
        for route in server.homeserver.router.routes()
        if route.declaration.path.startswith("/im/v1/")
    }
    calls = {
        (method.upper(), "/im/v1" + path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert calls == routes
    operations = [one for path in document["paths"].values() for one in path.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names)
    assert all(one["summary"] for one in operations)


async def test_the_document_is_one_that_programs_read(server: Server) -> None:
    document = await described(server)
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": "https://one.test/im/v1"}]
    for shape in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(shape)
    refs = re.findall(r"'\$ref': '#/components/schemas/([^']+)'", repr(document))
    assert set(refs) <= set(document["components"]["schemas"])
    asked = document["paths"]["/friends/requests"]["post"]
    assert asked["x-rate-limit"] == "friend_requests"
    shape = document["components"]["schemas"]["AskBody"]
    assert shape["required"] == ["user_id"]
    assert document["paths"]["/auth/login"]["post"]["security"] == []
    schemathesis.openapi.from_dict(document)


async def test_the_page_needs_nothing_but_itself(server: Server) -> None:
    answer = await server.client().ask("GET", "/im/v1/reference")
    page, policy = answer.body.decode(), answer.headers["content-security-policy"]
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert "<script" not in page and " style=" not in page and "http:" not in page
    assert set(re.findall(r"(?:src|href)=\"([^\"]+)\"", page)) <= {"openapi.json"} | set(
        re.findall(r"\"(#[a-z-]+)\"", page)
    )
    for operation in (one for path in (await described(server))["paths"].values() for one in path.values()):
        assert f'id="{operation["operationId"]}"' in page


class World:
    """Somebody with a friend, a group and a message, whose names stand in for made-up ones now and then."""

    def __init__(self, server: Server) -> None:
        self.server = server
        ann, ben = [ImUser(one) for one in server.drive(server.users("ann", "ben"))]
        self.client: Client = ann.stock
        self.room = server.drive(ann.befriends(ben))
        group = server.drive(ann.call("POST", "/groups", {"name": "Chess"}))
        said = server.drive(ann.says(self.room, "hello"))
        self.known = {
            "user_id": ben.user_id,
            "user": "ben",
            "cid": self.room,
            "gid": group["gid"],
            "event_id": said["event_id"],
            "moment_id": said["event_id"],
        }


def test_what_is_served_withstands_what_is_made_of_the_description(quick_server: Server) -> None:
    world = World(quick_server)
    schema = schemathesis.openapi.from_dict(quick_server.drive(described(quick_server)))
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]  # an Err raises
        name = operation.definition.raw["operationId"]
        if name not in ENDS_THE_SESSION | WAITS | STREAMS:
            _withstands(world, operation)


def _withstands(world: World, operation: Any) -> None:
    cases = st.one_of(operation.as_strategy(), operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, uses_known=st.booleans())
    def play(case: Any, uses_known: bool) -> None:
        for parameter in case.path_parameters or {}:
            if uses_known and parameter in world.known:
                case.path_parameters[parameter] = segment(world.known[parameter])
        _judge(world, case)

    play()


def _judge(world: World, case: Any) -> None:
    """Ask, and hold the answer against the description."""
    sent = case.as_transport_kwargs(base_url="http://one.test/im/v1")
    prepared = requests.Request(
        **{key: sent.get(key) for key in ("method", "url", "params", "json", "data")}
    ).prepare()
    target = prepared.path_url
    body = prepared.body if isinstance(prepared.body, bytes) else str(prepared.body or "").encode()
    answer = world.server.drive(world.client.ask(case.method, target, raw=body))
    # Another server that cannot be reached is no fault of ours.
    assert answer.status < 500 or answer.status == 502, (case.method, target, body, answer.body)
    headers = {name: [value] for name, value in answer.headers.items()}
    response = Response(
        answer.status, headers, answer.body, prepared, elapsed=0.0, verify=False, encoding="utf-8"
    )
    case.validate_response(response, checks=[content_type_conformance, response_schema_conformance])
