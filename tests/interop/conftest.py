"""Whole servers, as `tests/harness` makes them."""

from __future__ import annotations

from _pytest.terminal import TerminalReporter

from tests.harness.fixtures import alice, bob, carol, live_server, make_server, process, quick_server, server

__all__ = ["alice", "bob", "carol", "live_server", "make_server", "process", "quick_server", "server"]


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """What did not run is said in red, not in a letter."""
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if "NOT RUN" in reason:
            terminalreporter.write_line(f"{report.nodeid}: {reason}", red=True, bold=True)
