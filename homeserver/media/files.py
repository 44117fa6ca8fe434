"""Bytes on their way in and out, a piece at a time and beside the reactor.

What comes in is spooled to a file of its own while its digest is taken, so that memory does not grow with it; it is
kept under its digest once it is complete.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO, Protocol, TypeVar

from twisted.internet.defer import DeferredLock

from homeserver.errors import TooLarge
from homeserver.media.shapes import Dimensions
from homeserver.media.stores import BlobStore, Reader, blob_name
from homeserver.users.passwords import Executor


class Made(Protocol):
    """Something that was made of a file."""

    @property
    def data(self) -> bytes: ...


T = TypeVar("T", bound=Made)
L = TypeVar("L")

READ_BYTES = 256 * 1024
_WRITE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Spooled:
    """A file that has come in completely and is not kept yet."""

    path: Path
    digest: str
    size: int


class Spool:
    """A file that is coming in. Its methods block."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._handle, name = mkstemp(dir=directory)
        self.path = Path(name)
        self._digest = sha256()
        self._size = 0
        self._max_bytes = max_bytes

    def write(self, data: bytes) -> None:
        """Add a piece.

        Raises:
            TooLarge: it is one too many.
        """
        self._size += len(data)
        if self._size > self._max_bytes:
            raise TooLarge(f"the file is larger than {self._max_bytes} bytes")
        self._digest.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]

    def finish(self) -> Spooled:
        """All of it is here."""
        self._close()
        return Spooled(self.path, self._digest.hexdigest(), self._size)

    def abandon(self) -> None:
        """Forget it; also what has been finished and not kept."""
        self._close()
        self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


class MediaFiles:
    """Spools, keeps and reads files; `executor` runs what blocks."""

    def __init__(self, store: BlobStore, executor: Executor, spool: Path) -> None:
        self._store = store
        self._executor = executor
        self._spool = spool
        self._locks: dict[str, tuple[DeferredLock, list[None]]] = {}

    def new_spool(self, max_bytes: int) -> Spool:
        """For those who are handed their pieces and cannot wait."""
        return Spool(self._spool, max_bytes)

    async def spool(self, chunks: AsyncIterable[bytes], max_bytes: int) -> Spooled:
        """Take a file in.

        Raises:
            TooLarge: it has more bytes than it may.
        """
        run = self._executor
        spool = await run(Spool, self._spool, max_bytes)
        try:
            waiting: list[bytes] = []
            size = 0
            async for chunk in chunks:
                waiting.append(chunk)
                size += len(chunk)
                if size >= _WRITE_BYTES:
                    await run(spool.write, b"".join(waiting))
                    waiting, size = [], 0
            return await run(_write_last, spool, b"".join(waiting))  # type: ignore[no-any-return]  # _write_last's
        except BaseException:
            await run(spool.abandon)
            raise

    async def clear_spool(self) -> None:
        """Forget what was coming in when the server stopped. For its start, when nothing is."""
        await self._executor(_clear, self._spool)

    async def keep(self, name: str, path: Path) -> None:
        """Make a spooled file permanent."""
        await self._executor(self._store.put, name, path)

    async def discard(self, path: Path) -> None:
        """Forget a spooled file that was not kept."""
        await self._executor(_unlink, path)

    async def read_spooled(self, path: Path, read: Callable[[Path], L]) -> L:
        """What `read` finds in a spooled file, which is forgotten then."""
        try:
            found: L = await self._executor(read, path)
        finally:
            await self.discard(path)
        return found

    async def measure(self, path: Path) -> Dimensions:
        """The size of a spooled picture.

        Raises:
            CannotThumbnail: it is no picture.
        """
        size: Dimensions = await self._executor(_measure, path)
        return size

    async def open(self, name: str, *, start: int = 0, length: int) -> FileChunks:
        """Read some of a file, as fast as whoever reads wants it.

        Raises:
            FileNotFoundError: it is not there.
        """
        reader = await self._executor(self._store.open, name, start)
        return FileChunks(reader, length, self._executor)

    async def derive(self, source: str, target: str, make: Callable[[BinaryIO], T]) -> T:
        """Make something of a file, such as a smaller picture, and keep its `data` under another name.

        Raises:
            FileNotFoundError: the file is not there.
        """
        made: T = await self._executor(self._derive, source, target, make)
        return made

    async def delete(self, digest: str, thumbnails: list[str]) -> None:
        """Delete a file and its thumbnails, given by their names."""
        for name in (blob_name(digest), *thumbnails):
            await self._executor(self._store.delete, name)

    def _derive(self, source: str, target: str, make: Callable[[BinaryIO], T]) -> T:
        with self._store.fetch(source) as file:
            made = make(file)
        spool = Spool(self._spool, len(made.data))
        try:
            spool.write(made.data)
            self._store.put(target, spool.finish().path)
        except BaseException:
            spool.abandon()
            raise
        return made

    @asynccontextmanager
    async def locked(self, digest: str) -> AsyncIterator[None]:
        """Let nobody else keep or delete this file: keeping it and noting that it is in use belong together."""
        lock, users = self._locks.setdefault(digest, (DeferredLock(), []))
        users.append(None)
        await lock.acquire()
        try:
            yield
        finally:
            lock.release()
            users.pop()
            if not users:
                del self._locks[digest]


class FileChunks:
    """A file's bytes in pieces; closed at its end, or when nobody wants the rest."""

    def __init__(self, reader: Reader, length: int, executor: Executor) -> None:
        self._reader: Reader | None = reader
        self._left = length
        self._executor = executor

    def __aiter__(self) -> FileChunks:
        return self

    async def __anext__(self) -> bytes:
        if self._reader is None or not self._left:
            await self.aclose()
            raise StopAsyncIteration
        data: bytes = await self._executor(self._reader.read, min(READ_BYTES, self._left))
        self._left -= len(data)
        if not data:
            self._left = 0
            await self.aclose()
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        """Read no more."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await self._executor(reader.close)


def _write_last(spool: Spool, data: bytes) -> Spooled:
    if data:
        spool.write(data)
    return spool.finish()


def _clear(directory: Path) -> None:
    if directory.is_dir():
        for left in directory.iterdir():
            left.unlink(missing_ok=True)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _measure(path: Path) -> Dimensions:
    # Here, and not above: Pillow is megabytes that a server without pictures does without.
    from homeserver.media.images import measure

    with path.open("rb") as file:
        return measure(file)
