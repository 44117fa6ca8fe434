"""The web page in headless Chromium: two people in two browsers, as `page.mjs` tells it, with screenshots."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.harness.process import ServerProcess

HERE = Path(__file__).parent
CACHE = Path(__file__).parents[3] / ".cache" / "browser"
ARTEFACTS = Path(__file__).parents[2] / "artefacts"
INSTALLS_WITHIN_S = 300
WALKS_WITHIN_S = 240


@pytest.fixture(scope="session")
def workshop() -> Path:
    """A directory with the script and the package that drives browsers, installed once for each lock file."""
    missing = [name for name in ("node", "npm", "chromium") if not shutil.which(name)]
    if missing:
        pytest.skip(f"NOT RUN: the journey through the page needs {', '.join(missing)}")
    installed = CACHE / hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    if not installed.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=CACHE))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, fresh)
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
    shutil.copy(HERE / "page.mjs", installed)
    return installed


def test_two_people_use_the_page(workshop: Path, live_server: ServerProcess) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    done = subprocess.run(
        ["node", "page.mjs", live_server.base_url, str(ARTEFACTS)],
        cwd=workshop,
        capture_output=True,
        check=False,
        text=True,
        timeout=WALKS_WITHIN_S,
    )
    assert done.returncode == 0, f"got as far as\n{done.stdout}\nthen\n{done.stderr}"
    assert done.stdout.endswith("done\n")
