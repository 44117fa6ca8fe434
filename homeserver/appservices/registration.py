"""Registration files: what an operator says of an application service.

Spec: https://spec.matrix.org/v1.19/application-service-api/#registration
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from homeserver.errors import HearthError
from homeserver.ids import RoomAlias, RoomID, ServerName, UserID

RECEIVE_EPHEMERAL = (
    "receive_ephemeral",
    "push_ephemeral",
    "de.sorunome.msc2409.push_ephemeral",
)
MATCHES_REMEMBERED = 50_000


class InvalidRegistration(HearthError):
    """A registration file that cannot be followed; the sentence names the file and the key."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A pattern of IDs, and whether nobody else may have them."""

    pattern: re.Pattern[str]
    is_exclusive: bool


@dataclass(frozen=True, slots=True)
class Registration:
    """One application service, as it was registered."""

    id: str
    url: str | None
    as_token: str
    hs_token: str
    sender: UserID
    users: tuple[Namespace, ...] = ()
    aliases: tuple[Namespace, ...] = ()
    rooms: tuple[Namespace, ...] = ()
    protocols: tuple[str, ...] = ()
    is_rate_limited: bool = True
    wants_ephemeral: bool = False
    wants_encryption: bool = False
    """Whether it is told of device lists and key counts (MSC3202)."""


class Appservice:
    """An application service: who it acts as, and what it is interested in."""

    def __init__(self, registration: Registration) -> None:
        self.registration = registration
        self._owned: dict[str, bool] = {}

    @property
    def id(self) -> str:
        return self.registration.id

    @property
    def sender(self) -> UserID:
        return self.registration.sender

    @property
    def is_rate_limited(self) -> bool:
        return self.registration.is_rate_limited

    def owns(self, user_id: UserID) -> bool:
        """Whether the user ID lies in a namespace of the service, or is its sender."""
        known = self._owned.get(user_id)
        if known is None:
            if len(self._owned) > MATCHES_REMEMBERED:
                self._owned.clear()
            known = user_id == self.sender or _matches(self.registration.users, user_id)
            self._owned[user_id] = known
        return known

    def owns_exclusively(self, user_id: UserID) -> bool:
        return user_id == self.sender or _matches(self.registration.users, user_id, exclusive=True)

    def is_interested_in_alias(self, alias: str) -> bool:
        return _matches(self.registration.aliases, alias)

    def owns_alias_exclusively(self, alias: RoomAlias) -> bool:
        return _matches(self.registration.aliases, alias, exclusive=True)

    def is_interested_in_room(self, room_id: RoomID) -> bool:
        return _matches(self.registration.rooms, room_id)


def _matches(namespaces: Iterable[Namespace], value: str, *, exclusive: bool = False) -> bool:
    return any(
        (each.is_exclusive or not exclusive) and each.pattern.match(value) is not None for each in namespaces
    )


def load_registrations(paths: Iterable[Path], server_name: ServerName) -> list[Registration]:
    """The application services of these files.

    Raises:
        InvalidRegistration: a file cannot be read or understood, or two services share an ID or a token.
    """
    found: list[Registration] = []
    for path in paths:
        try:
            document = yaml.safe_load(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InvalidRegistration(f"{path}: {error}") from error
        registration = parse_registration(document, server_name, where=str(path))
        for other in found:
            if other.id == registration.id:
                raise InvalidRegistration(f"{path}: id {registration.id!r} is that of another service")
            if other.as_token == registration.as_token:
                raise InvalidRegistration(f"{path}: as_token is that of {other.id!r}")
        found.append(registration)
    return found


def parse_registration(document: Any, server_name: ServerName, *, where: str) -> Registration:
    """What a registration file says.

    Raises:
        InvalidRegistration: it does not say all that it must.
    """
    if not isinstance(document, dict):
        raise InvalidRegistration(f"{where}: this is not a registration of an application service")

    def text(key: str) -> str:
        value = document.get(key)
        if not isinstance(value, str) or not value:
            raise InvalidRegistration(f"{where}: {key} is missing")
        return value

    url = document.get("url")
    if url is not None and (not isinstance(url, str) or not url.startswith(("http://", "https://"))):
        if url != "":
            raise InvalidRegistration(f"{where}: url must be an http or https URL, or null")
        url = None
    localpart = text("sender_localpart")
    if not re.fullmatch(r"[A-Za-z0-9._=/+-]+", localpart):
        raise InvalidRegistration(f"{where}: sender_localpart {localpart!r} cannot be part of a user ID")
    namespaces = document.get("namespaces") or {}
    if not isinstance(namespaces, dict):
        raise InvalidRegistration(f"{where}: namespaces must be a mapping")
    protocols = document.get("protocols") or []
    if not isinstance(protocols, list) or not all(isinstance(each, str) for each in protocols):
        raise InvalidRegistration(f"{where}: protocols must be a list of names")
    return Registration(
        id=text("id"),
        url=None if url is None else url.rstrip("/"),
        as_token=text("as_token"),
        hs_token=text("hs_token"),
        sender=UserID(f"@{localpart}:{server_name}"),
        users=_namespaces(namespaces, "users", where),
        aliases=_namespaces(namespaces, "aliases", where),
        rooms=_namespaces(namespaces, "rooms", where),
        protocols=tuple(protocols),
        is_rate_limited=document.get("rate_limited", True) is not False,
        wants_ephemeral=any(document.get(key) is True for key in RECEIVE_EPHEMERAL),
        wants_encryption=document.get("org.matrix.msc3202") is True,
    )


def _namespaces(namespaces: Mapping[str, Any], kind: str, where: str) -> tuple[Namespace, ...]:
    entries = namespaces.get(kind) or []
    if not isinstance(entries, list):
        raise InvalidRegistration(f"{where}: namespaces.{kind} must be a list")
    found: list[Namespace] = []
    for entry in entries:
        regex = entry.get("regex") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(regex, str):
            raise InvalidRegistration(f"{where}: namespaces.{kind}: regex is missing")
        try:
            pattern = re.compile(regex)
        except re.error as error:
            raise InvalidRegistration(f"{where}: namespaces.{kind}: {regex!r}: {error}") from error
        found.append(Namespace(pattern, entry.get("exclusive") is True))
    return tuple(found)
