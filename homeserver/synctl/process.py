"""The server's process: found by its pid file, begun in the background, ended by a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from homeserver.http.ports import PortRefused, check_port
from homeserver.synctl.errors import Refused
from homeserver.synctl.http import Unreachable, ask
from homeserver.synctl.site import Site

POLL_S = 0.05
START_TIMEOUT_S = 60.0
STOP_GRACE_S = 20.0
"""How much longer than its own patience the server gets to stop."""


def find_process(pid_file: Path) -> int | None:
    """The pid of the running server, or None: the process of a pid file may be gone, or be another's."""
    try:
        pid = int(pid_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return pid if _is_server(pid) else None


def start(site: Site) -> int:
    """Begin the server in the background and wait until it answers; its pid.

    Raises:
        Refused: it cannot start; nothing is left behind.
    """
    try:
        for listener in site.config.listeners.listeners:
            check_port(listener.port or 0, listener.bind_addresses)
    except PortRefused as error:
        raise Refused(str(error)) from error
    try:
        site.pid_file.parent.mkdir(parents=True, exist_ok=True)
        site.log_file.parent.mkdir(parents=True, exist_ok=True)
        log = site.log_file.open("ab")
    except OSError as error:
        raise Refused(f"cannot write to {error.filename}: {error.strerror}") from error
    with log:
        begin = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "homeserver.app", "-c", str(site.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=site.path.parent,
        )
    try:
        site.pid_file.write_text(f"{process.pid}\n", encoding="ascii")
    except OSError as error:
        process.terminate()
        raise Refused(f"cannot write to {site.pid_file}: {error.strerror}") from error
    if not wait_until(lambda: process.poll() is not None or answers(site), START_TIMEOUT_S):
        process.terminate()
        site.pid_file.unlink(missing_ok=True)
        raise Refused(f"the server does not answer after {START_TIMEOUT_S:.0f} seconds; see {site.log_file}")
    if process.poll() is not None:
        site.pid_file.unlink(missing_ok=True)
        raise Refused(_last_words(site.log_file, begin))
    return process.pid


def stop(pid_file: Path, pid: int, *, patience_s: float) -> None:
    """End the server, and wait until it has finished what was in flight: for that long, and some grace.

    Raises:
        Refused: it does not end.
    """
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise Refused(f"process {pid} belongs to another user") from error
    if not wait_until(lambda: not _is_server(pid), patience_s + STOP_GRACE_S):
        raise Refused(f"process {pid} does not end; see its log")
    pid_file.unlink(missing_ok=True)


def answers(site: Site) -> bool:
    """Whether the server answers requests."""
    try:
        return ask(site, "GET", "/health").status == 200
    except Unreachable:
        return False


def wait_until(is_so: Callable[[], bool], timeout_s: float) -> bool:
    """Whether something came true in time."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _is_server(pid: int) -> bool:
    """Whether the process is alive and a Hearth: pids are used again."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return _is_alive_without_proc(pid)
    # A process that has ended but was not waited for has no command line any more.
    return b"homeserver.app" in command


def _is_alive_without_proc(pid: int) -> bool:
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _last_words(log_file: Path, begin: int) -> str:
    """Why the server did not start, in the line that it ended with."""
    with log_file.open("rb") as log:
        log.seek(begin)
        lines = log.read().decode("utf-8", "replace").splitlines()
    for line in reversed(lines):
        if line.startswith("hearth: "):
            return line.removeprefix("hearth: ")
    last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
    return f"the server ended at once: {last} (see {log_file})"
