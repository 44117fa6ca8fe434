"""The words in which settings are declared.

A section of the configuration is a frozen dataclass; each field is made by one of the functions below, which
carry what its type does not say: the key in the file, the sentence that documents it, how it is written. That
one declaration parses the file (`config.parsing`), refuses what is not in it, and is the reference
(`config.document`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass, field
from typing import Any, TypeVar, cast, overload

from config.units import parse_duration_ms, parse_size

T = TypeVar("T")

METADATA = "setting"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is declared of a setting beside its type and default.

    `kind` is what the reference calls its type; `shown` how it writes the default. `parse` replaces the
    parser that the type implies: of each item, for a list. `is_part` marks a section that stands under a key
    of its own, `is_flat` one whose settings stand at the top of the file.
    """

    doc: str
    key: str | None = None
    kind: str | None = None
    shown: str | None = None
    parse: Callable[[object], Any] | None = None
    is_secret: bool = False
    is_required: bool = False
    is_part: bool = False
    is_flat: bool = False


def declared(one: Field[Any]) -> Setting:
    """The declaration of a section's field."""
    return cast(Setting, one.metadata[METADATA])


def _declare(default: object, what: Setting) -> Any:
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata={METADATA: what})
    return field(default=default, repr=not what.is_secret, metadata={METADATA: what})


def setting(
    default: T,
    doc: str,
    *,
    key: str | None = None,
    kind: str | None = None,
    shown: str | None = None,
    parse: Callable[[object], object] | None = None,
) -> T:
    """A setting with a default."""
    what = Setting(doc, key=key, kind=kind, shown=shown, parse=parse)
    return cast(T, _declare(default, what))


def required(
    doc: str, *, key: str | None = None, kind: str | None = None, parse: Callable[[object], Any] | None = None
) -> Any:
    """A setting that must be given."""
    return field(metadata={METADATA: Setting(doc, key=key, kind=kind, parse=parse, is_required=True)})


def secret(doc: str, *, key: str | None = None) -> str | None:
    """A setting that must not be seen; it may also be given as `<key>_path`, a file that holds it."""
    return cast("str | None", _declare(None, Setting(doc, key=key, is_secret=True)))


@overload
def duration_ms(default: str, doc: str, *, key: str) -> int: ...
@overload
def duration_ms(default: None, doc: str, *, key: str) -> int | None: ...
def duration_ms(default: str | None, doc: str, *, key: str) -> int | None:
    """A length of time; None is for ever, or never, as `doc` says."""
    what = Setting(doc, key=key, kind="duration", shown=default, parse=parse_duration_ms)
    value = None if default is None else parse_duration_ms(default)
    return cast("int | None", _declare(value, what))


@overload
def size(default: str, doc: str, *, key: str | None = None) -> int: ...
@overload
def size(default: None, doc: str, *, key: str | None = None) -> int | None: ...
def size(default: str | None, doc: str, *, key: str | None = None) -> int | None:
    """A number of bytes; None is without limit."""
    what = Setting(doc, key=key, kind="size", shown=default, parse=parse_size)
    return cast("int | None", _declare(None if default is None else parse_size(default), what))


def part(default: T, doc: str, *, key: str | None = None) -> T:
    """Settings that stand together under one key; `default` is what they are when nothing is said."""
    return cast(T, _declare(default, Setting(doc, key=key, is_part=True)))


def flat(default: T) -> T:
    """A section whose settings stand at the top of the file; the section's docstring documents it."""
    return cast(T, _declare(default, Setting("", is_flat=True)))


def flat_required() -> Any:
    """As `flat`, for a section that has required settings."""
    return field(metadata={METADATA: Setting("", is_flat=True, is_required=True)})
