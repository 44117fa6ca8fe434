"""Pages of lists: opaque places that clients carry from one page to the next."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from homeserver.errors import InvalidParam

T = TypeVar("T")
DEFAULT_LIMIT = 20
MAX_LIMIT = 100


def encode_place(*values: str | int | float) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def decode_place(text: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """The place that a client brings back; None for the beginning.

    Raises:
        InvalidParam: it is none of this list's.
    """
    if text is None:
        return None
    try:
        values = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return tuple(msgspec.convert(values, tuple[kinds]))  # type: ignore[valid-type]  # made of the given kinds
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise InvalidParam(f"from: {text[:40]!r} is not a place in this list") from None


def page(items: Sequence[Any], next_batch: str | None) -> dict[str, Any]:
    """A page as it is answered; without `next_batch` it is the last."""
    return {"items": items} if next_batch is None else {"items": items, "next_batch": next_batch}
