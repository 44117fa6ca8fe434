"""Showing the log."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from homeserver.synctl.errors import Refused

FOLLOW_S = 0.2
BLOCK = 64 * 1024


def show(path: Path, lines: int, *, follow: bool) -> None:
    """Write the end of a log to the standard output; with `follow`, whatever is added too, until interrupted.

    Raises:
        Refused: there is no log.
    """
    try:
        log = path.open("rb")
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from error
    out = sys.stdout.buffer
    with log:
        out.write(_tail(path, lines))
        out.flush()
        log.seek(0, 2)
        while follow:
            added = log.read()
            if added:
                out.write(added)
                out.flush()
            elif _is_rotated(path, log.tell()):
                log.close()
                log = path.open("rb")
            else:
                time.sleep(FOLLOW_S)


def _tail(path: Path, lines: int) -> bytes:
    with path.open("rb") as log:
        position = log.seek(0, 2)
        found = b""
        while position and found.count(b"\n") <= lines:
            step = min(BLOCK, position)
            position = log.seek(position - step)
            found = log.read(step) + found
    return b"".join(found.splitlines(keepends=True)[-lines:]) if lines else b""


def _is_rotated(path: Path, position: int) -> bool:
    try:
        return path.stat().st_size < position
    except FileNotFoundError:
        return False
