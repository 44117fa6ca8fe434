"""Globs mean what they should, and no pattern makes them slow."""

from __future__ import annotations

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from homeserver.events.glob import compile_glob, has_word

patterns = st.text("ab*?.", max_size=8)
texts = st.text("ab .\n", max_size=10)


def as_regex(pattern: str) -> str:
    return "".join({"*": "(?s:.*)", "?": "(?s:.)"}.get(char, re.escape(char)) for char in pattern)


@given(patterns, texts)
def test_it_matches_what_the_naive_expression_matches(pattern: str, text: str) -> None:
    expected = re.fullmatch(as_regex(pattern), text) is not None
    assert compile_glob(pattern).matches(text) is expected
    assert compile_glob(pattern.upper(), ignore_case=True).matches(text) is expected


@given(patterns, texts)
def test_it_finds_words_where_trying_everything_finds_them(pattern: str, text: str) -> None:
    def is_boundary(place: int) -> bool:
        around = text[max(place - 1, 0) : place + 1]
        return place in (0, len(text)) or not all(char.isalnum() for char in around)

    places = [place for place in range(len(text) + 1) if is_boundary(place)]
    parts = (text[start:end] for start in places for end in places if start <= end)
    assert compile_glob(pattern).is_in(text) is any(re.fullmatch(as_regex(pattern), part) for part in parts)


@given(st.text("aB*?(+ ", min_size=1, max_size=5), st.text("ab*?(+ ", max_size=10))
def test_words_are_taken_literally(word: str, text: str) -> None:
    found = has_word(text, word)
    assert not found or word.lower() in text.lower()
    assert has_word(f"- {word} -", word)


def test_only_the_star_may_be_special() -> None:
    glob = compile_glob("a?*", single_wildcard=False)
    assert glob.matches("a?b")
    assert not glob.matches("abb")


def test_no_pattern_is_slow() -> None:
    text = "a " * 30_000
    began = time.perf_counter()
    for pattern in ("a*" * 200 + "b", "*a*a*a*b*", "a*" * 250, "?*" * 250 + "b", "a?" * 100 + "b"):
        glob = compile_glob(pattern)
        glob.matches(text)
        glob.is_in(text)
        glob.is_in(text.replace(" ", "a"))
    assert time.perf_counter() - began < 5
