"""matrix-js-sdk, which Element is made of, lives on a running server; its journeys are the scripts in `js/`."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.harness.process import ServerProcess

SCRIPTS = Path(__file__).parent / "js"
CACHE = Path(__file__).parents[2] / ".cache" / "js"
INSTALLS_WITHIN_S = 300
WALKS_WITHIN_S = 180


@pytest.fixture(scope="session")
def workshop() -> Path:
    """A directory with the scripts and the packages that they import, installed once for each lock file."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip(
            "NOT RUN: the journeys of matrix-js-sdk need node and npm, which this machine does not have"
        )
    lock = (SCRIPTS / "package-lock.json").read_bytes()
    installed = CACHE / hashlib.sha256(lock).hexdigest()[:16]
    if not installed.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=CACHE))
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(SCRIPTS / name, fresh)
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund"],
            cwd=fresh,
            capture_output=True,
            check=False,
            text=True,
            timeout=INSTALLS_WITHIN_S,
        )
        assert done.returncode == 0, f"npm ci failed:\n{done.stdout}\n{done.stderr}"
        fresh.rename(installed)
    for script in SCRIPTS.glob("*.mjs"):
        shutil.copy(script, installed)
    return installed


def walk(workshop: Path, journey: str, server: ServerProcess) -> str:
    done = subprocess.run(
        ["node", f"{journey}.mjs", server.base_url],
        cwd=workshop,
        capture_output=True,
        check=False,
        text=True,
        timeout=WALKS_WITHIN_S,
    )
    assert done.returncode == 0, f"{journey}: got as far as\n{done.stdout}\nthen\n{done.stderr}"
    return done.stdout


def test_two_people_talk(workshop: Path, live_server: ServerProcess) -> None:
    assert walk(workshop, "talk", live_server).endswith("done\n")


def test_two_people_talk_encrypted_verify_and_restore(workshop: Path, live_server: ServerProcess) -> None:
    assert walk(workshop, "encrypted", live_server).endswith("done\n")


def test_two_people_organise_a_party(workshop: Path, live_server: ServerProcess) -> None:
    assert walk(workshop, "organised", live_server).endswith("done\n")


def test_who_slides_meets_who_polls(workshop: Path, live_server: ServerProcess) -> None:
    assert walk(workshop, "sliding", live_server).endswith("done\n")
