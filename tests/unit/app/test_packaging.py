"""The distribution declares what its code imports, and nothing that it does not."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ("homeserver", "federation", "storage", "config")
EXTRAS = {"boto3": "s3", "botocore": "s3", "redis": "redis"}


def declared(section: str, option: str) -> set[str]:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser[section][option].split()
    return {normal(re.split(r"[\[<>=]", line)[0]) for line in lines}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(package: str) -> Iterator[str]:
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.partition(".")[0]


def distributions(packages: tuple[str, ...]) -> set[str]:
    known = packages_distributions()
    names = {name for package in packages for name in imported(package)}
    ours = {*SHIPPED, "tests", "__future__", *sys.stdlib_module_names}
    return {normal(known[name][0]) for name in names - ours - set(EXTRAS) if name in known}


def test_what_is_imported_is_declared() -> None:
    assert distributions(SHIPPED) <= declared("options", "install_requires")


def test_what_tests_import_is_declared() -> None:
    everything = declared("options", "install_requires") | declared("options.extras_require", "tests")
    assert distributions(("tests",)) <= everything


@pytest.mark.parametrize("extra", ["s3", "redis"])
def test_extras_come_with_the_tests(extra: str) -> None:
    assert declared("options.extras_require", extra) <= declared("options.extras_require", "tests")


def test_every_package_has_an_init() -> None:
    missing = [
        path.parent
        for package in SHIPPED
        for path in (ROOT / package).rglob("*.py")
        if not (path.parent / "__init__.py").exists()
    ]
    assert missing == []
