"""Dot-separated property paths, as the appendices write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.events.property_paths import parse_path


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("content.body", ("content", "body")),
        (r"content.m\.relates_to", ("content", "m.relates_to")),
        (r"content.m\\foo", ("content", r"m\foo")),
        (r"content.m\xfoo", ("content", r"m\xfoo")),
        (r"content.m\\.foo", ("content", "m\\", "foo")),
        ("type", ("type",)),
        ("", ("",)),
        (r"a..\.", ("a", "", ".")),
        ("a\\", ("a\\",)),
    ],
)
def test_paths_of_the_appendices(path: str, names: tuple[str, ...]) -> None:
    assert parse_path(path) == names


@given(st.lists(st.text("ab.\\"), min_size=1, max_size=4))
def test_escaped_names_come_back(names: list[str]) -> None:
    path = ".".join(name.replace("\\", "\\\\").replace(".", "\\.") for name in names)
    assert parse_path(path) == tuple(names)
