"""What the specification's files get wrong, and what of it Hearth does not serve; each with its reason."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Correction:
    """A schema of the specification's data that says something else than its text does.

    `place` is the file below `data/` and the JSON pointer of the schema in it.
    """

    place: str
    reason: str
    apply: Callable[[Schema], Schema]


def without_required(*keys: str) -> Callable[[Schema], Schema]:
    def apply(schema: Schema) -> Schema:
        return {**schema, "required": [key for key in schema["required"] if key not in keys]}

    return apply


CORRECTIONS: tuple[Correction, ...] = ()


@functools.cache
def corrections_by_place() -> Mapping[str, Correction]:
    return {correction.place: correction for correction in CORRECTIONS}


NOT_SERVED: Mapping[str, str] = {}
"""Operations of the served APIs that Hearth leaves out on purpose: key -> reason."""
