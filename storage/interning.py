"""Names (users, rooms, event types, state keys) are stored once, in `names`, and elsewhere by their numbers.

Names never change and are never deleted while something refers to them, so committed pairs can be remembered.
What a transaction adds is its own until it commits.
"""

from __future__ import annotations

NAMES_KEPT = 100_000


class Names:
    """The committed names that are in memory. Any thread may read; they are added after a commit or a read."""

    def __init__(self, limit: int = NAMES_KEPT) -> None:
        self._limit = limit
        self.numbers: dict[str, int] = {}
        self.values: dict[int, str] = {}

    def add(self, value: str, nid: int) -> None:
        self.numbers[value] = nid
        self.values[nid] = value
        if len(self.numbers) > self._limit:
            self._forget()

    def _forget(self) -> None:
        """Let the older half go; who is still around comes back with one read."""
        # Copies replace the tables as a whole: other threads may be reading them.
        self.numbers = dict(list(self.numbers.items())[self._limit // 2 :])
        self.values = {nid: value for value, nid in self.numbers.items()}
