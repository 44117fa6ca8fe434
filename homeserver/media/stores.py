"""Where the bytes of media are kept: a directory, or anything else that has these few methods.

Names are made by us of digests (`blob_name`, `thumbnail_name`), never of what somebody sent. All methods block, and
are called where that does no harm.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol


class Reader(Protocol):
    """Bytes that are being read."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class BlobStore(Protocol):
    """Keeps bytes under names."""

    def put(self, name: str, source: Path) -> None:
        """Keep a file, which is ours from now on, so that it survives a crash."""
        ...

    def open(self, name: str, start: int) -> Reader:
        """Read from an offset.

        Raises:
            FileNotFoundError: there is nothing under that name.
        """
        ...

    def fetch(self, name: str) -> BinaryIO:
        """The whole as a file on this machine in which one can move about.

        Raises:
            FileNotFoundError: there is nothing under that name.
        """
        ...

    def delete(self, name: str) -> None:
        """Forget it, if it is there."""
        ...


def blob_name(digest: str) -> str:
    """Where a file is kept."""
    return f"content/{digest[:2]}/{digest[2:4]}/{digest[4:]}"


def thumbnail_name(digest: str, variant: str) -> str:
    """Where a thumbnail of it is kept."""
    return f"thumbnails/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{variant}"


class DirectoryStore:
    """Files in a directory of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, source: Path) -> None:
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _sync(source)
        source.replace(target)
        _sync(target.parent)

    def open(self, name: str, start: int) -> Reader:
        file = (self._root / name).open("rb", buffering=0)
        file.seek(start)
        # Unbuffered: what is read is handed on whole, and a buffer between would only copy it.
        return file

    def fetch(self, name: str) -> BinaryIO:
        return (self._root / name).open("rb")

    def delete(self, name: str) -> None:
        path = self._root / name
        path.unlink(missing_ok=True)
        # Directories that became empty go too, up to the first that did not.
        with suppress(OSError):
            for parent in path.relative_to(self._root).parents[:-2]:
                (self._root / parent).rmdir()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
