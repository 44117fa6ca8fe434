"""The walk through the IM API in its documentation, walked: its commands, on a server as operators run it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.fixtures import live_server
from tests.harness.process import ServerProcess

__all__ = ["live_server"]
PAGE = Path(__file__).resolve().parents[3] / "docs" / "im" / "README.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_walk_in_the_documentation(live_server: ServerProcess) -> None:
    block = re.search(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    script = f"set -euo pipefail\nSERVER=http://127.0.0.1:{live_server.port}\n{block[1]}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for said in ("Hello Ben", "Chess", "A fine day", "next_batch"):
        assert said in done.stdout
