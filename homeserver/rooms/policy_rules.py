"""This server as a policy server: which events it signs for the rooms that have named it.

Spec: https://spec.matrix.org/v1.19/server-server-api/#policy-servers
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from homeserver.errors import MatrixError
from homeserver.events.event import Event
from homeserver.events.glob import compile_glob, has_word
from homeserver.events.signatures import SigningKey, sign_bytes, signed_bytes

MAX_DEPTH = 5
"""How deep in an event's content its words are looked for."""


class PolicyRefusal(MatrixError):
    """The policy server does not want the event in the room."""

    errcode = "M_FORBIDDEN"


class PolicyRules:
    """What the operator lets pass. Without a key this server is no policy server."""

    def __init__(
        self, seed: bytes | None, *, denied_senders: Iterable[str] = (), denied_words: Iterable[str] = ()
    ) -> None:
        self._key = None if seed is None else SigningKey.of("policy_server", seed)
        self._senders = [compile_glob(each, ignore_case=True) for each in denied_senders]
        self._words = tuple(denied_words)

    @property
    def public_key(self) -> bytes | None:
        return None if self._key is None else self._key.public

    @property
    def public_base64(self) -> str | None:
        return None if self._key is None else self._key.public_base64

    def sign(self, event: Event) -> dict[str, str]:
        """The signature by which the event passes, by key ID.

        Raises:
            PolicyRefusal: it does not.
        """
        assert self._key is not None
        if any(glob.matches(event.sender) for glob in self._senders):
            raise PolicyRefusal(f"events of {event.sender} are not wanted")
        for text in _texts(event.content, MAX_DEPTH):
            if any(has_word(text, word) for word in self._words):
                raise PolicyRefusal("the event holds a word that is not wanted")
        return {self._key.key_id: sign_bytes(signed_bytes(event.pdu, event.version), self._key)}


def _texts(value: Any, depth: int) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif depth:
        inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        for each in inner:
            yield from _texts(each, depth - 1)
