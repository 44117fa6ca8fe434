"""The unstable names under which clients still ask for what has long been specified lead to the same handlers."""

from __future__ import annotations

import pytest

from tests.conformance.declared import served_endpoints
from tests.conformance.specification import shape_of
from tests.harness.fixtures import ServerFactory
from tests.harness.server import Server

UNSTABLE = "/_matrix/client/unstable"
V1, V3, MEDIA = "/_matrix/client/v1", "/_matrix/client/v3", "/_matrix/media"

# (method, unstable path, stable path)
ALIASES = [
    ("GET", f"{UNSTABLE}/org.matrix.msc2965/auth_metadata", f"{V1}/auth_metadata"),
    ("GET", f"{UNSTABLE}/im.nheko.summary/summary/{{r}}", f"{V1}/room_summary/{{r}}"),
    ("GET", f"{UNSTABLE}/im.nheko.summary/rooms/{{r}}/summary", f"{V1}/room_summary/{{r}}"),
    *(
        (method, f"{UNSTABLE}/uk.tcpip.msc4133/profile/{{u}}/{{k}}", f"{V3}/profile/{{u}}/{{k}}")
        for method in ("GET", "PUT", "DELETE")
    ),
    ("GET", f"{UNSTABLE}/uk.tcpip.msc4133/profile/{{u}}", f"{V3}/profile/{{u}}"),
    *(
        ("GET", f"{UNSTABLE}/org.matrix.msc3916/media{path}", f"{V1}/media{path}")
        for path in (
            "/download/{s}/{m}",
            "/download/{s}/{m}/{n}",
            "/thumbnail/{s}/{m}",
            "/config",
            "/preview_url",
        )
    ),
    ("GET", f"{UNSTABLE}/org.matrix.msc2946/rooms/{{r}}/hierarchy", f"{V1}/rooms/{{r}}/hierarchy"),
    (
        "GET",
        f"{UNSTABLE}/org.matrix.msc3030/rooms/{{r}}/timestamp_to_event",
        f"{V1}/rooms/{{r}}/timestamp_to_event",
    ),
    ("GET", f"{UNSTABLE}/org.matrix.msc3856/rooms/{{r}}/threads", f"{V1}/rooms/{{r}}/threads"),
    ("POST", f"{UNSTABLE}/org.matrix.msc3882/login/get_token", f"{V1}/login/get_token"),
    ("GET", f"{UNSTABLE}/org.matrix.msc2432/rooms/{{r}}/aliases", f"{V3}/rooms/{{r}}/aliases"),
    ("POST", f"{UNSTABLE}/fi.mau.msc2659/appservice/{{a}}/ping", f"{V1}/appservice/{{a}}/ping"),
    ("GET", f"{UNSTABLE}/uk.half-shot.msc2666/user/mutual_rooms", f"{V1}/mutual_rooms"),
    ("POST", f"{UNSTABLE}/org.matrix.msc4151/rooms/{{r}}/report", f"{V3}/rooms/{{r}}/report"),
    ("POST", f"{UNSTABLE}/org.matrix.msc4260/users/{{u}}/report", f"{V3}/users/{{u}}/report"),
    *(
        (method, f"{UNSTABLE}/uk.timedout.msc4323/admin/{what}/{{u}}", f"{V1}/admin/{what}/{{u}}")
        for method in ("GET", "PUT")
        for what in ("lock", "suspend")
    ),
    *(
        ("GET", f"{UNSTABLE}/rooms/{{r}}/relations/{{e}}{more}", f"{V1}/rooms/{{r}}/relations/{{e}}{more}")
        for more in ("", "/{t}", "/{t}/{k}")
    ),
    ("POST", f"{UNSTABLE}/keys/device_signing/upload", f"{V3}/keys/device_signing/upload"),
    ("POST", f"{UNSTABLE}/keys/signatures/upload", f"{V3}/keys/signatures/upload"),
    *(
        (method, f"{UNSTABLE}/room_keys/{path}", f"{V3}/room_keys/{path}")
        for method in ("GET", "PUT", "DELETE")
        for path in ("keys", "keys/{r}", "keys/{r}/{s}", "version/{v}")
    ),
    ("GET", f"{UNSTABLE}/room_keys/version", f"{V3}/room_keys/version"),
    ("POST", f"{UNSTABLE}/room_keys/version", f"{V3}/room_keys/version"),
    *(
        (method, f"{MEDIA}/{version}{path}", f"{MEDIA}/v3{path}")
        for version in ("r0", "v1")
        for method, path in (
            ("POST", "/upload"),
            ("PUT", "/upload/{s}/{m}"),
            ("GET", "/download/{s}/{m}"),
            ("GET", "/download/{s}/{m}/{n}"),
            ("GET", "/thumbnail/{s}/{m}"),
            ("GET", "/config"),
            ("GET", "/preview_url"),
        )
    ),
]

# What clients look for in `unstable_features` before they use it.
FLAGS = (
    "org.matrix.simplified_msc3575", "org.matrix.msc3916.stable", "org.matrix.msc2285.stable", "org.matrix.msc3771",
    "org.matrix.msc3773", "org.matrix.msc3440.stable", "org.matrix.msc3856", "org.matrix.msc3856.stable",
    "org.matrix.msc3715", "org.matrix.msc3715.stable", "org.matrix.msc3030", "org.matrix.msc3030.stable",
    "org.matrix.msc3981", "org.matrix.msc3952_intentional_mentions", "org.matrix.msc3882", "org.matrix.msc3881",
    "org.matrix.msc3827.stable", "uk.tcpip.msc4133", "uk.tcpip.msc4133.stable", "uk.half-shot.msc2666",
    "uk.half-shot.msc2666.mutual_rooms", "uk.half-shot.msc2666.query_mutual_rooms",
    "uk.half-shot.msc2666.query_mutual_rooms.stable", "org.matrix.msc4140", "org.matrix.msc4143", "org.matrix.msc4108",
    "org.matrix.msc4306", "uk.timedout.msc4323", "org.matrix.msc4380", "org.matrix.msc4380.stable",
    "org.matrix.e2e_cross_signing", "org.matrix.msc2432", "fi.mau.msc2246", "fi.mau.msc2659", "fi.mau.msc2659.stable",
)  # fmt: skip


@pytest.mark.parametrize(("method", "unstable", "stable"), ALIASES)
def test_an_alias_leads_to_the_same_handler(method: str, unstable: str, stable: str) -> None:
    leads = {
        shape_of(path): endpoint
        for endpoint in served_endpoints()
        if endpoint.declaration.method == method
        for path in endpoint.declaration.paths()
    }
    assert leads[shape_of(unstable)] is leads[shape_of(stable)]


async def test_every_alias_is_answered(quick_server: Server) -> None:
    admin = await quick_server.admin()
    values = {
        "r": "!r:one.test",
        "u": admin.user_id,
        "e": "$e",
        "s": "one.test",
        "t": "m.thread",
        "k": "k",
        "m": "m",
    }
    values |= {"n": "n", "a": "a", "v": "1"}
    lost = []
    for method, unstable, _ in ALIASES:
        answer = await admin.ask(method, unstable.format(**values))
        if answer.errcode == "M_UNRECOGNIZED":
            lost.append(f"{method} {unstable}")
    assert lost == []


async def test_clients_find_the_flags_that_they_look_for(make_server: ServerFactory) -> None:
    server = make_server(
        matrix_rtc={"transports": [{"type": "livekit", "livekit_service_url": "https://rtc.test"}]}
    )
    features = (await server.client().request("GET", "/_matrix/client/versions"))["unstable_features"]
    assert [flag for flag in FLAGS if features.get(flag) is not True] == []
