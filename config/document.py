"""The reference of every setting, written from their declarations by `python -m config.document`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from config.config import Config
from config.parsing import key_of
from config.pending import is_pending
from config.schema import declared

PATH = Path(__file__).resolve().parents[1] / "docs" / "admin" / "configuration.md"

INTRODUCTION = """\
# Configuration

<!-- Written by `python -m config.document --write`; change the declarations in config/ instead. -->

Hearth reads one YAML file. Its settings have the names that Synapse gives them wherever they mean the same,
so most of a Synapse configuration can be kept. A setting that does not exist is refused, with a guess at what
was meant. `synctl check-config` says whether a file can be used; `synctl restart` makes a change take effect.

- **Durations** are written `500ms`, `30s`, `5m`, `1h30m`, `7d`, `2w` or `1y`; plain numbers are milliseconds.
- **Sizes** are written `64K`, `50M` or `1G`; plain numbers are bytes.
- **Paths** that are not absolute are taken from the directory of the configuration file.
- **Secrets** may also be given as the path of a file that holds them: `registration_shared_secret_path`
  instead of `registration_shared_secret`.

Only `server_name` must be set. `synctl generate-config` writes a file to begin with.
"""


def document() -> str:
    """The whole reference, as Markdown."""
    lines = [INTRODUCTION]
    hints = get_type_hints(Config)
    for one in fields(Config):
        section = hints[one.name]
        title, _, more = (inspect.getdoc(section) or "").removesuffix(".").partition(": ")
        lines.append(f"## {title}\n")
        if more:
            lines.append(f"{more[0].upper()}{more[1:]}.\n")
        if not declared(one).is_flat:
            lines.append(f"Under `{key_of(one)}:`.\n")
        lines += _settings(section, _default(one, section), one.name, 0)
        lines.append("")
    return "\n".join(lines)


def _settings(section: Any, defaults: object, path: str, depth: int) -> Iterator[str]:
    hints = get_type_hints(section)
    for one in fields(section):
        what = declared(one)
        hint = hints[one.name]
        default = getattr(defaults, one.name) if defaults is not None else _default(one, hint)
        inner = _inner_section(hint)
        kind = what.kind or ("secret" if what.is_secret else _kind(hint))
        notes = [kind]
        if what.is_required:
            notes.append("required")
        elif what.shown is not None:
            notes += [f"default: {what.shown}"] if what.shown else []
        elif not is_dataclass(default) and default not in (None, (), {}, MISSING):
            notes.append(f"default: `{_shown(default)}`")
        rate = _rate(default)
        if rate is not None:
            notes = ["rate", f"default: {rate}"]
        place = f"{path}.{one.name}"
        later = " *No effect yet.*" if is_pending(place) else ""
        yield f"{'  ' * depth}- **`{key_of(one)}`** ({'; '.join(notes)}): {what.doc}{later}"
        if inner is not None and rate is None and not _is_rate(inner):
            yield from _settings(inner, default if isinstance(default, inner) else None, place, depth + 1)


def _default(one: Field[Any], hint: Any) -> Any:
    if one.default is not MISSING:
        return one.default
    return one.default_factory() if one.default_factory is not MISSING else None


def _inner_section(hint: Any) -> type[Any] | None:
    """The section that a setting consists of, be it one, a list or a mapping of them."""
    if isinstance(hint, type) and is_dataclass(hint):
        return hint
    for argument in get_args(hint):
        found = _inner_section(argument)
        if found is not None:
            return found
    return None


def _is_rate(section: type[Any]) -> bool:
    return section.__name__ == "Rate"


def _rate(default: object) -> str | None:
    """A rate in few words; None if it is none."""
    if type(default).__name__ != "Rate":
        return None
    return f"`{{per_second: {default.per_second:g}, burst_count: {default.burst_count}}}`"  # type: ignore[attr-defined] # see above


def _kind(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return _kind(next(one for one in arguments if one is not NoneType))
    if origin is Literal:
        return "one of " + ", ".join(f"`{one}`" for one in arguments)
    if origin is tuple:
        return "list" if _inner_section(hint) else f"list of {_kind(arguments[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return "mapping"
    if isinstance(hint, type) and is_dataclass(hint):
        return "rate" if _is_rate(hint) else "settings"
    names = {bool: "true or false", int: "number", float: "number", str: "text", Path: "path"}
    return names.get(hint, "text")


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return "[" + ", ".join(_shown(one) for one in default) + "]"
    return str(default)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PATH.write_text(document(), encoding="utf-8")
    else:
        sys.stdout.write(document())
