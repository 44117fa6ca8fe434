"""A run of the whole suite begins a new record, and fails if the record has gaps at its end.

Loaded as a plugin by `tests/conftest.py`. Test processes append to the record as they go; only the one that started
them empties and judges it. A run of a part of the suite adds to the record, and is not judged.
"""

from __future__ import annotations

import pytest

from tests.conformance.coverage import gaps
from tests.conformance.record import RECORD, seen


def is_whole(config: pytest.Config) -> bool:
    """Whether every test is run, and this is the process that started the others."""
    is_narrowed = any(
        config.getoption(name, None) for name in ("keyword", "markexpr", "lf", "ignore", "deselect")
    )
    is_everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return is_everything and not is_narrowed and not hasattr(config, "workerinput")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin a new record."""
    if is_whole(session.config) and not session.config.option.collectonly:
        RECORD.unlink(missing_ok=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Judge the record of a run that passed: one that failed has gaps of its own making."""
    if exitstatus != pytest.ExitCode.OK or not is_whole(session.config) or session.config.option.collectonly:
        return
    if found := gaps(seen()):
        reporter = session.config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            reporter.write_line("\nNo test has shown what the specification declares:", red=True)
            for gap in found:
                reporter.write_line(f"  {gap}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
