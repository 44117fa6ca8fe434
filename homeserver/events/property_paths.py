"""Dot-separated paths to the properties of an event.

Spec: https://spec.matrix.org/v1.19/appendices/#dot-separated-property-paths
"""

from __future__ import annotations

import re
from functools import lru_cache

PropertyPath = tuple[str, ...]

_ESCAPED = re.compile(r"\\([.\\])")
_NAME = re.compile(r"((?:\\[.\\]|[^.])*)(?:\.|\Z)", re.DOTALL)


@lru_cache(maxsize=4096)
def parse_path(path: str) -> PropertyPath:
    """The names on the path. A dot or backslash of a name is escaped; other backslashes are themselves."""
    if "\\" not in path:
        return tuple(path.split("."))
    names: list[str] = []
    at = 0
    while True:
        match = _NAME.match(path, at)
        assert match is not None
        names.append(_ESCAPED.sub(r"\1", match[1]))
        at = match.end()
        if match.end(1) == len(path):
            return tuple(names)
