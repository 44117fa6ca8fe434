"""From what YAML says to typed sections, by their declarations alone; every refusal names the setting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from config.errors import ConfigError
from config.foreign import FOREIGN
from config.schema import Setting, declared

T = TypeVar("T")

ReadFile = Callable[[Path], str]


class Parser:
    """Parses sections; paths in the file are relative to `base`, and secrets are read by `read_file`."""

    def __init__(self, base: Path, read_file: ReadFile) -> None:
        self._base = base
        self._read_file = read_file

    def parse_root(self, section: type[T], raw: Mapping[str, Any]) -> T:
        """A configuration whose fields are sections, flat or under keys of their own.

        Raises:
            ConfigError: naming the first setting that is wrong.
        """
        hints = get_type_hints(section)
        flats = {one.name: hints[one.name] for one in fields(_dataclass(section)) if declared(one).is_flat}
        parts = [one for one in fields(_dataclass(section)) if not declared(one).is_flat]
        known = {key for flat in flats.values() for key in keys_of(flat)} | {key_of(one) for one in parts}
        _refuse_unknown(raw, known, "")
        values: dict[str, Any] = {
            name: self._parse_fields(flat, raw, "", None) for name, flat in flats.items()
        }
        for one in parts:
            values[one.name] = self._parse_field(one, hints[one.name], raw, "", _default_of(one))
        return _make(section, values, "")

    def parse_section(self, section: type[T], raw: object, where: str, default: object = None) -> T:
        """A section under a key; what it does not say is taken from `default`.

        Raises:
            ConfigError: naming the first setting that is wrong.
        """
        if not isinstance(raw, Mapping):
            raise ConfigError(f"{where}: must be a mapping of settings, not {_shown(raw)}")
        _refuse_unknown(raw, keys_of(section), where)
        return self._parse_fields(section, raw, where, default)

    def _parse_fields(self, section: type[T], raw: Mapping[str, Any], where: str, default: object) -> T:
        hints = get_type_hints(section)
        values = {}
        for one in fields(_dataclass(section)):
            fallback = _default_of(one) if default is None else getattr(default, one.name)
            values[one.name] = self._parse_field(one, hints[one.name], raw, where, fallback)
        return _make(section, values, where)

    def _parse_field(
        self, one: Field[Any], hint: Any, raw: Mapping[str, Any], where: str, default: Any
    ) -> Any:
        key = key_of(one)
        place = f"{where}.{key}" if where else key
        what = declared(one)
        if what.is_secret:
            return self._parse_secret(raw, key, place, default)
        value = raw.get(key)
        # A key without a value says nothing: everything under it is commented out.
        if value is None:
            if what.is_required or default is MISSING:
                raise ConfigError(f"{place}: must be set")
            return self._settle(default, place)
        if what.parse is not None and not _is_collection(hint):
            return _call(what.parse, value, place)
        return self._parse_value(hint, value, place, what, default)

    def _settle(self, default: Any, place: str) -> Any:
        """A default with its relative paths put under the base."""
        if isinstance(default, Path):
            return self._base / default
        if is_dataclass(default) and not isinstance(default, type):
            return self.parse_section(type(default), {}, place, default)
        return default

    def _parse_secret(self, raw: Mapping[str, Any], key: str, place: str, default: Any) -> Any:
        value, path = raw.get(key), raw.get(f"{key}_path")
        if value is not None and path is not None:
            raise ConfigError(f"{place}: is set twice, here and as {key}_path")
        if path is not None:
            if not isinstance(path, str):
                raise ConfigError(f"{place}_path: must be text, not {_shown(path)}")
            try:
                return self._read_file(self._base / path).strip()
            except OSError as error:
                raise ConfigError(f"{place}_path: cannot read {path}: {error.strerror}") from error
        if value is None:
            return default
        if not isinstance(value, str):
            raise ConfigError(f"{place}: must be text (put it in quotes)")
        return value

    def _parse_value(self, hint: Any, value: Any, place: str, what: Setting, default: Any = None) -> Any:
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in {Union, UnionType}:
            (inner,) = (one for one in arguments if one is not NoneType)
            return self._parse_value(inner, value, place, what, default)
        if origin is Literal:
            return _parse_choice(arguments, value, place)
        if origin is tuple:
            if not isinstance(value, list):
                raise ConfigError(f"{place}: must be a list, not {_shown(value)}")
            return tuple(
                self._parse_item(arguments[0], item, f"{place}[{number}]", what)
                for number, item in enumerate(value)
            )
        if origin is not None and issubclass(origin, Mapping):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{place}: must be a mapping, not {_shown(value)}")
            return {
                str(key): self._parse_item(arguments[1], item, f"{place}.{key}", what)
                for key, item in value.items()
            }
        if isinstance(hint, type) and is_dataclass(hint):
            return self.parse_section(hint, value, place, default if isinstance(default, hint) else None)
        if hint is Path:
            return self._base / _parse_scalar(str, value, place)
        return _parse_scalar(hint, value, place)

    def _parse_item(self, hint: Any, item: Any, place: str, what: Setting) -> Any:
        if what.parse is not None:
            return _call(what.parse, item, place)
        return self._parse_value(hint, item, place, what)


def key_of(one: Field[Any]) -> str:
    """The key of a setting in the file."""
    return declared(one).key or one.name


def keys_of(section: type[Any]) -> set[str]:
    """Every key that a section understands."""
    known = set()
    for one in fields(_dataclass(section)):
        known.add(key_of(one))
        if declared(one).is_secret:
            known.add(f"{key_of(one)}_path")
    return known


def _dataclass(section: type[Any]) -> Any:
    return section


def _default_of(one: Field[Any]) -> Any:
    return one.default_factory() if one.default_factory is not MISSING else one.default


def _make(section: type[T], values: Mapping[str, Any], where: str) -> T:
    try:
        return section(**values)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}" if where else str(error)) from error


def _refuse_unknown(raw: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    for key in raw:
        if key in known:
            continue
        place = f"{where}.{key}" if where else str(key)
        if reason := FOREIGN.get(place):
            raise ConfigError(f"{place}: {reason}")
        near = get_close_matches(str(key), list(known), n=1, cutoff=0.7)
        guess = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{place}: there is no such setting{guess}")


def _parse_choice(choices: tuple[Any, ...], value: Any, place: str) -> Any:
    if value in choices and not isinstance(value, bool):
        return value
    near = get_close_matches(str(value), [str(one) for one in choices], n=1)
    guess = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"{place}: must be one of {', '.join(map(str, choices))}, not {_shown(value)}{guess}")


def _parse_scalar(hint: Any, value: Any, place: str) -> Any:
    kind: Any = hint.__supertype__ if isinstance(hint, NewType) else hint
    if kind is Any or kind is object:
        return value
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind is str and isinstance(value, str):
        return value
    name = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]
    hint_quotes = " (put it in quotes)" if kind is str and isinstance(value, int | float) else ""
    raise ConfigError(f"{place}: must be {name}, not {_shown(value)}{hint_quotes}")


def _call(parse: Callable[[object], Any], value: Any, place: str) -> Any:
    try:
        return parse(value)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from error


def _is_collection(hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in {Union, UnionType}:
        return any(_is_collection(one) for one in get_args(hint) if one is not NoneType)
    return origin is not None and origin is not Literal and (origin is tuple or issubclass(origin, Mapping))


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
