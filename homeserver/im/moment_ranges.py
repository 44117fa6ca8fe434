"""How far back others see one's moments: a setting, by which what is older is one's own."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from homeserver.ids import UserID
from homeserver.im.settings import SETTINGS
from storage import account_data
from storage.transaction import Transaction

_DAY_MS = 24 * 3600 * 1000
RANGES_MS = {"half_year": 182 * _DAY_MS, "month": 30 * _DAY_MS, "three_days": 3 * _DAY_MS}


def shown_since(txn: Transaction, authors: Iterable[UserID], now_ms: int) -> dict[UserID, int]:
    """From when on each of the authors shows moments to others; all of theirs, those who are not in it."""
    since = {}
    for author, content in account_data.of_users(txn, sorted(authors), SETTINGS).items():
        # Clients may write anything there.
        value = msgspec.json.decode(content)
        chosen = RANGES_MS.get(str(value.get("moments_range"))) if isinstance(value, dict) else None
        if chosen is not None:
            since[author] = now_ms - chosen
    return since
