"""Tables of authorization cases: given a room, may this event be in it, and if not, by which rule?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from homeserver.errors import AuthRejected
from homeserver.events.event import Event
from homeserver.events.room_versions import ROOM_VERSIONS, RoomVersion
from tests.harness.pure_room import PureRoom


@dataclass(frozen=True)
class Case:
    """An event that `rule` refuses, or that is allowed if it is None, in room versions `first` to `last`."""

    what: str
    rule: str | None
    event: Callable[[PureRoom], Event]
    given: Callable[[PureRoom], object] = lambda room: None
    first: int = 1
    last: int = 12
    create: dict[str, Any] | None = None
    joined: bool = True

    def run(self, version: RoomVersion) -> None:
        room = PureRoom(version, create=self.create, joined=self.joined)
        self.given(room)
        event = self.event(room)
        refused_by: str | None = None
        try:
            room.check(event)
        except AuthRejected as error:
            refused_by = error.rule
        assert refused_by == self.rule


def in_every_version(cases: Iterable[Case]) -> pytest.MarkDecorator:
    """Run each case in each room version that it is about."""
    return pytest.mark.parametrize(
        ("case", "version"),
        [
            pytest.param(case, version, id=f"{case.rule or 'allow'}-{case.what}-v{version.id}")
            for case in cases
            for version in ROOM_VERSIONS.values()
            if case.first <= int(version.id) <= case.last
        ],
    )
