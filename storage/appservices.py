"""What application services were sent last."""

from __future__ import annotations

from typing import NamedTuple

from storage import followers
from storage.transaction import Transaction


class SentTransaction(NamedTuple):
    """A transaction, by its number; it tells of the log up to `until`."""

    number: int
    until: int
    body: bytes


def follower_of(appservice: str) -> str:
    """The name under which the place of an application service is kept."""
    return f"appservice:{appservice}"


def find_unacknowledged(txn: Transaction, appservice: str) -> SentTransaction | None:
    row = txn.one(
        "SELECT number, until, body FROM appservice_transactions WHERE appservice = ? AND acknowledged = 0",
        appservice,
    )
    return None if row is None else SentTransaction(int(row[0]), int(row[1]), bytes(row[2]))


def begin(txn: Transaction, appservice: str, until: int, body: bytes) -> SentTransaction:
    """Keep a transaction in the place of the last one, which has been acknowledged."""
    last = txn.value("SELECT number FROM appservice_transactions WHERE appservice = ?", appservice)
    number = int(last or 0) + 1
    txn.put(
        "appservice_transactions",
        ("appservice", "number", "until", "acknowledged", "body"),
        (appservice, number, until, 0, body),
        ("appservice",),
    )
    return SentTransaction(number, until, body)


def acknowledge(txn: Transaction, appservice: str, until: int) -> None:
    """The service has the transaction, and so everything up to `until`."""
    txn.execute(
        "UPDATE appservice_transactions SET acknowledged = 1, body = ? WHERE appservice = ?", b"", appservice
    )
    followers.save_place(txn, follower_of(appservice), until)


def find_message(txn: Transaction, user_id: str, device_id: str, position: int) -> bytes | None:
    """The to-device message that a log entry tells of, unless the device has it already."""
    message = txn.value(
        "SELECT message FROM to_device_messages WHERE user_name = ? AND device_id = ? AND position = ?",
        txn.find_interned(user_id),
        device_id,
        position,
    )
    return None if message is None else bytes(message)
