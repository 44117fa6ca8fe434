"""Text as words that can be searched for, the same whichever engine keeps them.

Scripts that write words without spaces are cut into characters, so that a part of a sentence finds it.
"""

from __future__ import annotations

import re
import unicodedata

MAX_WORDS = 4000
MAX_WORD = 100
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]"
    r"|[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]+"
)


def fold(text: str) -> str:
    """Text without regard to case and to how it is composed."""
    return unicodedata.normalize("NFKC", text).casefold().replace("\0", "")


def words_of(text: str) -> list[str]:
    """The words of a text, folded, in order."""
    return [word[:MAX_WORD] for word in _WORD.findall(fold(text))[:MAX_WORDS]]


def query_of(words: list[str]) -> str:
    """Words as a query for all of them; both engines read it alike."""
    return " ".join(f'"{word}"' for word in words)


def rank_of(words: str, wanted: list[str]) -> float:
    """How close a text is to what is searched: how much of it that is."""
    text = words.split()
    hits = sum(1 for word in text if word in wanted)
    return hits / (len(text) + 5) if text else 0.0
