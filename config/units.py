"""How durations and sizes are written, as in Synapse: `1h30m` and `50M`; plain numbers are ms and bytes."""

from __future__ import annotations

import re

_DURATIONS_MS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 7 * 86_400_000,
    "y": 365 * 86_400_000,
}
_SIZES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_DURATION = re.compile(r"(?:\d+(?:ms|s|m|h|d|w|y))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+)(ms|s|m|h|d|w|y)", re.ASCII)
_SIZE = re.compile(r"(\d+)([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)


def parse_duration_ms(value: object) -> int:
    """A duration in milliseconds, from `1h30m` or from a number of milliseconds.

    Raises:
        ValueError: it is not a duration.
    """
    if isinstance(value, bool):
        raise ValueError("must be a duration such as 30s, 5m or 1d")
    if isinstance(value, int) and value >= 0:
        return value
    if isinstance(value, str):
        if value.isascii() and value.isdigit():
            return int(value)
        if _DURATION.fullmatch(value):
            return sum(int(count) * _DURATIONS_MS[unit] for count, unit in _DURATION_PART.findall(value))
    raise ValueError("must be a duration such as 30s, 5m or 1d")


def parse_size(value: object) -> int:
    """A size in bytes, from `50M` or from a number of bytes.

    Raises:
        ValueError: it is not a size.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (found := _SIZE.fullmatch(value)):
        return int(found[1]) * _SIZES[found[2].upper()]
    raise ValueError("must be a size such as 512K, 50M or 1G")
