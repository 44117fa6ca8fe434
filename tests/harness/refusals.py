"""How a test says that something is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.conformance.validator import Answer


class Refused(Exception):
    """The server said no."""

    def __init__(self, what: str, answer: Answer) -> None:
        self.answer = answer
        self.status = answer.status
        self.body: dict[str, Any] = answer.json if answer.media_type == "application/json" else {}
        self.errcode = str(self.body.get("errcode"))
        self.error = str(self.body.get("error"))
        super().__init__(f"{what}: {self.status} {self.errcode}: {self.error}")


@dataclass(slots=True)
class Refusal:
    """What `refused` has caught."""

    exception: Refused | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The refusal's JSON."""
        assert self.exception is not None
        return self.exception.body

    @property
    def error(self) -> str:
        """The sentence that says what was wrong."""
        assert self.exception is not None
        return self.exception.error


@contextmanager
def refused(errcode: str, status: int | None = None) -> Iterator[Refusal]:
    """Expect that what happens inside is refused.

    `with refused("M_FORBIDDEN", 403): await bob.joins(room)`
    """
    refusal = Refusal()
    try:
        yield refusal
    except Refused as exception:
        if exception.errcode != errcode or (status is not None and exception.status != status):
            expected = errcode if status is None else f"{status} {errcode}"
            raise AssertionError(f"expected {expected}, got {exception}") from exception
        refusal.exception = exception
    else:
        raise AssertionError(f"nothing was refused; expected {errcode}")
