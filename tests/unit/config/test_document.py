"""The reference of settings is complete and current."""

from __future__ import annotations

from dataclasses import fields

from config import Config
from config.document import PATH, document
from config.parsing import keys_of
from config.schema import declared


def test_the_reference_is_current() -> None:
    assert PATH.read_text() == document(), "run: python -m config.document --write"


def test_every_setting_is_documented() -> None:
    text = document()
    for one in fields(Config):
        section = type(one.default)
        if declared(one).is_flat and not declared(one).is_required:
            for key in keys_of(section):
                assert f"`{key.removesuffix('_path')}" in text, key


def test_no_two_sections_share_a_key() -> None:
    flat = [key for one in fields(Config) if declared(one).is_flat for key in keys_of(_type_of(one))]
    assert len(flat) == len(set(flat))


def _type_of(one: object) -> type[object]:
    from typing import get_type_hints

    hints = get_type_hints(Config)
    found: type[object] = hints[one.name]  # type: ignore[attr-defined] # a dataclass field
    return found
