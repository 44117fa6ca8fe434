"""What a request carries along by itself: its ID, which follows coroutines, tasks and log lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_request_id: ContextVar[str] = ContextVar("request_id", default="-")


def request_id() -> str:
    """The ID of the request that is being answered, or of the task that runs; "-" outside of any."""
    return _request_id.get()


def enter_request(id: str) -> None:
    """From here on, this context answers the request `id`. Coroutines started from here inherit it."""
    _request_id.set(id)


@contextmanager
def within_request(id: str) -> Iterator[None]:
    """Answer the request `id` inside the block, and whatever came before after it."""
    before = _request_id.set(id)
    try:
        yield
    finally:
        _request_id.reset(before)
