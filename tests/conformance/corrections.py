"""What the specification's files get wrong, and what of it Hearth does not serve; each with its reason."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Correction:
    """A schema of the specification's data that says something else than its text does.

    `place` is the file below `data/` and the JSON pointer of the schema in it.
    """

    place: str
    reason: str
    apply: Callable[[Schema], Schema]


def without_required(*keys: str) -> Callable[[Schema], Schema]:
    def apply(schema: Schema) -> Schema:
        return {**schema, "required": [key for key in schema["required"] if key not in keys]}

    return apply


def any_instead_of_one(schema: Schema) -> Schema:
    return {("anyOf" if key == "oneOf" else key): value for key, value in schema.items()}


def all_or_nothing(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "object", "maxProperties": 0}]}


_NO_ORIGIN = (
    "events have no origin in the event formats of the room versions: the handshakes' data kept it (MSC3989)"
)

CORRECTIONS: tuple[Correction, ...] = (
    *(
        Correction(f"api/server-server/{place}", _NO_ORIGIN, without_required("origin"))
        for place in (
            "definitions/invite_event.yaml#/allOf/0",
            *(
                f"{file}.yaml#/paths/~1make_{what}~1{{roomId}}~1{{userId}}/get/responses/200"
                "/content/application~1json/schema/properties/event"
                for file, what in (("joins-v1", "join"), ("knocks", "knock"), ("leaving-v1", "leave"))
            ),
        )
    ),
    Correction(
        "api/client-server/rooms.yaml#/paths/~1rooms~1{roomId}~1state~1{eventType}~1{stateKey}/get/responses/200"
        "/content/application~1json/schema",
        "with format=event the answer is an event, which is an object too: it is one or the other, not exactly one",
        any_instead_of_one,
    ),
    Correction(
        "api/client-server/voip.yaml#/paths/~1voip~1turnServer/get/responses/200"
        "/content/application~1json/schema",
        "the text does not say what a server without TURN servers answers: clients take an empty object for none, "
        "and hand an empty list to the browser, which refuses to call with it",
        all_or_nothing,
    ),
)


@functools.cache
def corrections_by_place() -> Mapping[str, Correction]:
    return {correction.place: correction for correction in CORRECTIONS}


NOT_SERVED: Mapping[str, str] = {}
"""Operations of the served APIs that Hearth leaves out on purpose: key -> reason."""

NOT_SERVED_YET: Mapping[str, str] = {}
"""What is being built: a pattern of paths -> what it comes with. A line without an operation left must go."""


def is_not_served(key: str, path: str) -> bool:
    """Whether an operation may be missing."""
    return key in NOT_SERVED or any(re.match(pattern, path) for pattern in NOT_SERVED_YET)


BEYOND_THE_SPECIFICATION: Mapping[str, str] = {
    r"/_matrix/client/unstable/": "open proposals that clients rely on, under their unstable prefix",
    r"/_matrix/client/v4/sync": "MSC4186, accepted: simplified sliding sync",
    r"/_matrix/client/v1/delayed_events": "MSC4140, accepted: delayed events",
    r"/_matrix/client/v3/rooms/{room_id}/delayed_event/": "MSC4140, accepted: delayed events",
    r"/_matrix/client/v3/stream$": "the WebSocket draft",
    r"/_matrix/client/v1/rooms/{room_id}/thread/": "MSC4306: thread subscriptions",
    r"/_matrix/client/v3/auth/": "the fallback pages of interactive authentication are in its text only",
    r"/_matrix/static/": "the fallback page of login is in its text only",
    r"/_matrix/federation/v1/send_(join|leave)/": "removed in v1.18, and all that old servers know",
    r"/_matrix/key/v2/server/": "removed from the specification and still asked for",
    r"/_synapse/": "Synapse's administration API, which operators' tools speak",
    r"/_hearth/": "Hearth's own administration",
    r"/im/v1": "the IM facade",
    r"/$|/web/": "the IM page",
    r"/health$": "for load balancers",
    r"/\.well-known/openid-configuration": "where clients of OpenID Connect look for the same metadata",
    r"/oauth2?/": "the locations of OAuth endpoints are the server's choice",
}
"""What is served and has no operation in the specification: a pattern at the path's beginning -> reason."""

NAMED_OTHERWISE: Mapping[str, str] = {
    # The client's and the server's well-known files are two operations of one name.
    "server-server/getWellKnown": "get_well_known_server",
}
"""Handlers that are not named after their operation: key -> the handler's name."""

_OPTIONAL = "ACCESS_TOKEN_OPTIONAL"

AUTHENTICATED_OTHERWISE: Mapping[str, tuple[str, str]] = {
    "client-server/getUserProfile": (
        _OPTIONAL,
        "the configuration may ask for a token, and for shared rooms",
    ),
    "client-server/getProfileField": (
        _OPTIONAL,
        "the configuration may ask for a token, and for shared rooms",
    ),
    "client-server/getPublicRooms": (_OPTIONAL, "the configuration may ask for a token"),
    "client-server/getVersions": ("NONE", "a token is optional, and the answer the same for everybody"),
}
"""Operations whose security the data gets wrong or leaves to us: key -> (what we ask for, reason)."""

LIMITED_OTHERWISE: Mapping[str, str] = {}
"""Operations that may answer 429 and have no rate limit of their own: key -> reason."""

_VALIDATES_ITSELF = (
    "the identity server that a client names is ignored where the homeserver validates, as this one does"
)

NEVER_REFUSED: Mapping[tuple[str, str], str] = {
    ("client-server/initialSync", "404"): (
        "the data speaks of an avatar URL: a slip, since the answer is one's own, and nothing can be missing"
    ),
    ("client-server/requestTokenTo3PIDEmail", "M_SERVER_NOT_TRUSTED"): _VALIDATES_ITSELF,
    ("client-server/requestTokenTo3PIDMSISDN", "M_SERVER_NOT_TRUSTED"): _VALIDATES_ITSELF,
    ("client-server/requestTokenToResetPasswordEmail", "M_SERVER_NOT_TRUSTED"): _VALIDATES_ITSELF,
    ("client-server/requestTokenToResetPasswordMSISDN", "M_SERVER_NOT_TRUSTED"): _VALIDATES_ITSELF,
    ("client-server/requestTokenToRegisterEmail", "M_SERVER_NOT_TRUSTED"): _VALIDATES_ITSELF,
    ("client-server/requestTokenToRegisterMSISDN", "M_SERVER_NOT_TRUSTED"): _VALIDATES_ITSELF,
}
"""Refusals that the data declares and that cannot be: (key, status or error code) -> reason."""
