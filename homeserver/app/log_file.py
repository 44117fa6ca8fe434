"""Where log lines go: the standard output, or a file that can be opened again after it has been rotated."""

from __future__ import annotations

import sys
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO


class LogFile(RawIOBase):
    """An appending file under a fixed path."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._file = self._open()

    def _open(self) -> BinaryIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return self._path.open("ab", buffering=0)

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override] # bytes are all that is ever written
        """Append."""
        return self._file.write(data)

    def reopen(self) -> None:
        """Go on in the file that stands under the path now."""
        before, self._file = self._file, self._open()
        before.close()


def open_log(path: Path | None) -> BinaryIO | LogFile:
    """The stream of the log."""
    return sys.stdout.buffer if path is None else LogFile(path)
