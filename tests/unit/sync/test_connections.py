"""Sliding-sync connections: which positions are good, and that memory is bounded."""

from __future__ import annotations

import pytest

from homeserver.errors import UnknownPos
from homeserver.ids import DeviceID, RoomID, UserID
from homeserver.rooms.tokens import StreamToken
from homeserver.sync.sliding.connections import PER_DEVICE, Connections, Marks, Progress, Sent
from homeserver.sync.sliding.request import RoomConfig, Selector, SlidingRequest

ALICE, PHONE = UserID("@alice:one"), DeviceID("PHONE")
CONFIG = RoomConfig(1, Selector())


def asks(pos: str | None = None, *, name: str = "", device: str = PHONE) -> SlidingRequest:
    return SlidingRequest(ALICE, DeviceID(device), conn_id=name, pos=pos)


def progress(rooms: int) -> Progress:
    return Progress(StreamToken(1), {RoomID(f"!{n}:one"): Sent(1, None, CONFIG) for n in range(rooms)})


def is_known(connections: Connections, request: SlidingRequest) -> bool:
    try:
        connections.open(request)
    except UnknownPos:
        return False
    return True


def begun(connections: Connections, request: SlidingRequest, rooms: int = 1) -> str:
    connection, _ = connections.open(request)
    return connections.issue(request, connection, progress(rooms))


def test_a_position_is_good_until_its_successor_is_used() -> None:
    connections = Connections()
    first = begun(connections, asks())
    connection, _ = connections.open(asks(first))
    lost = connections.issue(asks(first), connection, progress(2))
    retried = connections.issue(asks(first), connection, progress(3))
    assert len(connections.open(asks(first))[1].rooms) == 1
    assert len(connections.open(asks(retried))[1].rooms) == 3
    for gone in (first, lost):
        with pytest.raises(UnknownPos):
            connections.open(asks(gone))


def test_a_device_has_so_many_connections_and_keeps_those_it_uses() -> None:
    connections = Connections()
    room_list = begun(connections, asks(name="room-list"))
    others = [begun(connections, asks(name=f"c{n}")) for n in range(PER_DEVICE - 1)]
    assert is_known(connections, asks(room_list, name="room-list"))
    begun(connections, asks(name="one more"))
    assert is_known(connections, asks(room_list, name="room-list"))
    assert not is_known(connections, asks(others[0], name="c0"))


def test_what_all_remember_together_is_bounded() -> None:
    connections = Connections(rooms_kept=100)
    old = begun(connections, asks(name="old"), 60)
    new = begun(connections, asks(name="new"), 60)
    assert not is_known(connections, asks(old, name="old"))
    assert is_known(connections, asks(new, name="new"))


def test_a_session_that_ended_leaves_nothing_behind() -> None:
    connections = Connections()
    phone, tablet = begun(connections, asks()), begun(connections, asks(device="TABLET"))
    connections.forget(ALICE, PHONE)
    assert not is_known(connections, asks(phone))
    assert is_known(connections, asks(tablet, device="TABLET"))
    connections.forget(ALICE, None)
    assert not is_known(connections, asks(tablet, device="TABLET"))


def test_marks_remember_when_a_room_went_out_of_scope() -> None:
    one, two = RoomID("!one:one"), RoomID("!two:one")
    marks = Marks().moved([one, two], 5).moved([two], 9)
    assert (marks.find(one), marks.find(two)) == (5, 9)
    assert marks.moved([one, two], 12).find(one) == 12
    assert marks.moved([two], 12).left is marks.left
