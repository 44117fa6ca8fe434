"""Which state events cite an event as one of their auth events."""

from __future__ import annotations

from collections.abc import Iterable

from storage.transaction import Transaction


def save(txn: Transaction, citing: int, cited: Iterable[str]) -> None:
    for event_id in cited:
        txn.put("auth_citations", ("cited", "citing"), (event_id, citing), ("cited", "citing"))


def citing(txn: Transaction, event_id: str) -> list[int]:
    """The numbers of the state events that cite the event."""
    return [
        int(number) for (number,) in txn.all("SELECT citing FROM auth_citations WHERE cited = ?", event_id)
    ]
