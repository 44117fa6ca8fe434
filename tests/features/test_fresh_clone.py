"""What a newcomer does first, in a directory that has nothing but the repository's files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.process import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
INSTALLS_WITHIN_S = 300


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """The files that git knows, as they are now."""
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, cwd=REPOSITORY).stdout
    fresh = tmp_path / "hearth"
    for name in listed.decode().split("\0"):
        source = REPOSITORY / name
        if name and source.exists() and not name.startswith("tests/"):
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, fresh / name)
    yield fresh


def synctl(clone: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [sys.executable, str(clone / "synctl"), *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=INSTALLS_WITHIN_S,
        cwd=clone.parent,
        env={**kept, **environment},
    )


def test_one_command_installs_and_starts(clone: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    words = ("--server-name", "one.test", "--data-dir", str(data), "--port", str(free_port()))
    done = synctl(clone, "generate-config", *words)
    assert done.returncode == 0, done.stderr
    assert "Installing" in done.stderr
    started = synctl(clone, "-c", str(data / "homeserver.yaml"), "start")
    try:
        assert started.returncode == 0, started.stderr
        assert "Installing" not in started.stderr
        made = synctl(
            clone, "-c", str(data / "homeserver.yaml"), "register-user", "-u", "a", "-p", "b", "--admin"
        )
        assert "@a:one.test" in made.stdout
    finally:
        stopped = synctl(clone, "-c", str(data / "homeserver.yaml"), "stop")
    assert stopped.returncode == 0, stopped.stderr
    assert not (clone / "data").exists()


def test_without_the_venv_module_it_says_what_to_install(clone: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "ensurepip.py").write_text("raise ImportError('left out, as Debian does')\n")
    done = synctl(clone, "start", PYTHONPATH=str(hidden))
    assert done.returncode == 1
    assert done.stderr == (
        "synctl: this Python has no venv module; on Debian and Ubuntu: apt install python3-venv\n"
    )
    assert not (clone / ".venv").exists()
    assert not (clone / "data").exists()
