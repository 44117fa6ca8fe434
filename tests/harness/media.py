"""Where the servers of a test session keep media: a directory each, all gone at the end."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

_numbers = itertools.count(1)


@cache
def _session() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="hearth-media-")


def media_directory() -> str:
    """A place for one server's media, which is not made until it is needed."""
    return str(Path(_session().name) / str(next(_numbers)))
