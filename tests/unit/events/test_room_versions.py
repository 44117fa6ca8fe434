"""Room versions 1 to 12, and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from homeserver.errors import UnsupportedRoomVersion
from homeserver.events.room_versions import ROOM_VERSIONS, StateResolution, room_version


def test_there_are_twelve() -> None:
    assert list(ROOM_VERSIONS) == [str(number) for number in range(1, 13)]
    for name, version in ROOM_VERSIONS.items():
        assert room_version(name) is version
        assert version.id == name
        assert repr(version) == f"RoomVersion({name})"


@pytest.mark.parametrize("name", ["0", "13", "", "org.matrix.msc1234", 1, None, ["1"]])
def test_others_are_unknown(name: object) -> None:
    with pytest.raises(UnsupportedRoomVersion):
        room_version(name)


def names_with(field: str) -> list[str]:
    return [name for name, version in ROOM_VERSIONS.items() if getattr(version, field)]


def versions(first: int, last: int = 12) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


def test_what_changed_when() -> None:
    """The feature matrix, laid beside that of the specification's page on room versions."""
    assert names_with("references_carry_hashes") == versions(1, 2)
    assert names_with("event_id_domain_signs") == versions(1, 2)
    assert names_with("redaction_auth_rule") == versions(1, 2)
    assert names_with("event_ids_are_hashes") == versions(3)
    assert names_with("enforce_key_validity") == versions(5)
    assert names_with("aliases_auth_rule") == versions(1, 5)
    assert names_with("float_power_levels") == versions(1, 5)
    assert names_with("strict_canonical_json") == versions(6)
    assert names_with("limit_notifications") == versions(6)
    assert names_with("has_knocking") == versions(7)
    assert names_with("has_restricted_joins") == versions(8)
    assert names_with("string_power_levels") == versions(1, 9)
    assert names_with("integer_power_levels") == versions(10)
    assert names_with("creator_in_content") == versions(1, 10)
    assert names_with("redacts_in_content") == versions(11)
    assert names_with("room_id_is_create_event_id") == versions(12)
    assert names_with("creators_are_almighty") == versions(12)
    assert [version.state_resolution for version in ROOM_VERSIONS.values()] == [
        StateResolution.V1,
        *[StateResolution.V2] * 10,
        StateResolution.V2_1,
    ]


def test_event_ids_have_the_shapes_of_the_vectors() -> None:
    vectors = json.loads((Path(__file__).parents[2] / "data/vectors.json").read_text())
    shapes = vectors["identifiers"]["event_id_shapes"]
    assert all(len(shape) == 44 for shape in shapes.values())
    assert ROOM_VERSIONS["3"].event_id_format is not ROOM_VERSIONS["4"].event_id_format
