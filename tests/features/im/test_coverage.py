"""The page that says what serves each feature owed: every line is held to what there is."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from tests.harness.server import Server

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "im" / "coverage.md"
FEATURES = ROOT / "tests" / "data" / "im-features.csv"
OWED = 300
_CALL = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/.*)")


def lines() -> dict[tuple[str, str], str]:
    """What serves each feature, by system and feature."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 3 and cells[0] not in ("system", "-"):
            system, feature, served = cells
            assert (system, feature) not in found, f"{feature} has two lines"
            found[system, feature] = served
    return found


def features() -> list[tuple[str, str]]:
    with FEATURES.open(encoding="utf-8", newline="") as file:
        return [(row["system"].strip(), row["feature"].strip()) for row in csv.DictReader(file)]


def test_every_feature_has_its_line_and_nothing_else_has_one() -> None:
    owed = features()
    assert len(owed) == OWED
    assert sorted(lines()) == sorted(owed)


def routes(server: Server) -> set[tuple[str, str]]:
    found = set()
    for route in server.homeserver.router.routes():
        for path in route.declaration.paths():
            found.add((route.declaration.method, path.removeprefix("/im/v1")))
    return found


def test_every_line_names_what_there_is(server: Server) -> None:
    known = routes(server)
    realtime = (ROOT / "docs" / "im" / "realtime.md").read_text(encoding="utf-8")
    settings = (ROOT / "docs" / "admin" / "configuration.md").read_text(encoding="utf-8")
    wrong: list[str] = []
    for (_, feature), served in lines().items():
        named = re.findall(r"(ws |setting )?`([^`]+)`", served)
        if not named and not served.startswith("every call"):
            wrong.append(f"{feature}: nothing is named")
        for kind, what in named:
            call = _CALL.fullmatch(what)
            if call is not None:
                is_there = (call[1], call[2]) in known
            elif kind == "ws ":
                is_there = f"`{what.removesuffix('*')}" in realtime
            elif kind == "setting ":
                is_there = f"`{what}" in settings
            elif "/" in what or what == "synctl" or "." in what:
                is_there = (ROOT / what).exists()
            else:
                # A word of the API, such as `next_batch`.
                is_there = True
            if not is_there:
                wrong.append(f"{feature}: there is no {kind}{what}")
    assert not wrong, "\n".join(wrong)
