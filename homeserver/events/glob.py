"""Glob patterns in linear time: `*` stands for any characters, `?` for exactly one.

What lies between two stars has a fixed length, and taking the earliest place where it fits never spoils what
follows; so nothing is ever tried twice, and no pattern can make a match expensive.
Spec: https://spec.matrix.org/v1.19/appendices/#glob-style-matching
"""

from __future__ import annotations

import re
from functools import lru_cache

# A word boundary, in the words of the push rules: wherever not both neighbours are word characters.
_BOUNDARY = r"(?:(?<![A-Za-z0-9_])|(?![A-Za-z0-9_]))"


class Glob:
    """A compiled pattern; build it with `compile_glob`."""

    __slots__ = ("_first", "_ignore_case", "_last", "_literal", "_middle", "_width", "_word", "pattern")

    def __init__(self, pattern: str, *, ignore_case: bool, single_wildcard: bool) -> None:
        self.pattern = pattern
        self._ignore_case = ignore_case
        if ignore_case:
            pattern = pattern.lower()
        first, *others = pattern.split("*")
        wild = single_wildcard and "?" in pattern
        self._literal = first if not others and not wild else None
        self._first = _piece(first, wild=wild)
        self._middle = [_piece(piece, wild=wild) for piece in others[:-1] if piece]
        self._last = _piece(others[-1], wild=wild) if others else None
        self._width = len(others[-1]) if others else 0
        self._word: tuple[re.Pattern[str], re.Pattern[str] | None] | None = None

    def matches(self, value: str) -> bool:
        """Whether the pattern describes the whole value."""
        if self._ignore_case:
            value = value.lower()
        if self._literal is not None:
            return value == self._literal
        if self._last is None:
            return self._first.fullmatch(value) is not None
        at = self._first.match(value)
        place = self._skip_middle(value, at)
        start = len(value) - self._width
        return 0 <= place <= start and self._last.match(value, start) is not None

    def is_in(self, text: str) -> bool:
        """Whether the pattern describes some part of the text that begins and ends at a word boundary."""
        if self._ignore_case:
            text = text.lower()
        if self._literal is not None and self._literal not in text:
            return False
        if self._word is None:
            self._word = self._compile_word()
        first, last = self._word
        place = self._skip_middle(text, first.search(text))
        return place >= 0 and (last is None or last.search(text, place) is not None)

    def _skip_middle(self, text: str, at: re.Match[str] | None) -> int:
        """Where the pieces between the first and the last end, at the earliest; -1 if they do not fit."""
        for piece in self._middle:
            if at is None:
                break
            at = piece.search(text, at.end())
        return -1 if at is None else at.end()

    def _compile_word(self) -> tuple[re.Pattern[str], re.Pattern[str] | None]:
        if self._last is None:
            return re.compile(_BOUNDARY + self._first.pattern + _BOUNDARY, re.DOTALL), None
        first = re.compile(_BOUNDARY + self._first.pattern, re.DOTALL)
        return first, re.compile(self._last.pattern + _BOUNDARY, re.DOTALL)


def has_word(text: str, word: str) -> bool:
    """Whether the text has the word, whatever its case, between word boundaries; nothing in it is special."""
    pattern = _BOUNDARY + re.escape(word.lower()) + _BOUNDARY
    return re.search(pattern, text.lower()) is not None


@lru_cache(maxsize=4096)
def compile_glob(pattern: str, *, ignore_case: bool = False, single_wildcard: bool = True) -> Glob:
    """The pattern, ready to match; without `single_wildcard` only `*` is special."""
    return Glob(pattern, ignore_case=ignore_case, single_wildcard=single_wildcard)


def _piece(piece: str, *, wild: bool) -> re.Pattern[str]:
    parts = piece.split("?") if wild else [piece]
    return re.compile(".".join(map(re.escape, parts)), re.DOTALL)
