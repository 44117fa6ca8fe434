"""Remembers which operations the tests have seen answered, over processes and sessions.

A line per first sight is appended to one file: appending is atomic, so several test processes may write, and
`tests/run` empties it before it begins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

RECORD = Path(__file__).parents[2] / ".cache" / "conformance" / "seen"


class Recorder:
    def __init__(self, path: Path = RECORD) -> None:
        self._path = path
        self._seen: set[str] = set()

    def saw(self, operation_key: str, status: int, errcode: str | None) -> None:
        line = f"{operation_key} {status} {errcode or '-'}\n"
        if line in self._seen:
            return
        self._seen.add(line)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)


def seen(path: Path = RECORD) -> Mapping[str, set[tuple[int, str]]]:
    """Per operation the (status, errcode) pairs that were seen; errcode is `-` where there was none."""
    found: dict[str, set[tuple[int, str]]] = defaultdict(set)
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            key, status, errcode = line.split(" ")
            found[key].add((int(status), errcode))
    return found
