"""A log file can be rotated under the server."""

from __future__ import annotations

from pathlib import Path

from homeserver.app.log_file import LogFile


def test_it_goes_on_in_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "hearth.log"
    log = LogFile(path)
    log.write(b"before\n")
    rotated = path.rename(tmp_path / "hearth.log.1")
    log.write(b"between\n")
    log.reopen()
    log.write(b"after\n")
    assert rotated.read_text() == "before\nbetween\n"
    assert path.read_text() == "after\n"


def test_it_adds_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "hearth.log"
    path.write_text("before\n")
    LogFile(path).write(b"after\n")
    assert path.read_text() == "before\nafter\n"
