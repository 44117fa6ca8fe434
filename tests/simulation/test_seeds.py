"""A few seeds, always the same, in every run of the tests; `python -m tests.simulation --seeds N` plays more."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("first", [1, 23, 474])
def test_servers_agree_once_everything_has_healed(first: int) -> None:
    # A process of its own: the order of its sets is part of the seed.
    command = [sys.executable, "-m", "tests.simulation", "--seeds", "4", "--first", str(first)]
    played = subprocess.run(command, capture_output=True, text=True, check=False)
    assert played.returncode == 0, played.stdout + played.stderr
