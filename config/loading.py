"""From a file to a `Config`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from config.config import Config
from config.errors import ConfigError
from config.parsing import Parser, ReadFile


class _Loader(yaml.CSafeLoader):
    """YAML's safe subset, with duplicate keys refused."""


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in found:
            raise ConfigError(f"line {key_node.start_mark.line + 1}: {key} is set twice")
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def parse(raw: Mapping[str, Any], *, base: Path | None = None, read_file: ReadFile = read_text) -> Config:
    """The configuration that `raw` says; relative paths are taken from `base`.

    Raises:
        ConfigError: naming the first setting that is wrong.
    """
    return Parser(base or Path(), read_file).parse_root(Config, raw)


def parse_text(text: str, *, base: Path | None = None, read_file: ReadFile = read_text) -> Config:
    """The configuration that a YAML text says.

    Raises:
        ConfigError: it is not YAML, or a setting is wrong.
    """
    return parse(parse_yaml(text), base=base, read_file=read_file)


def parse_yaml(text: str) -> Mapping[str, Any]:
    """What a YAML text says, not looked at yet.

    Raises:
        ConfigError: it is not YAML, or no mapping.
    """
    try:
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is the safe one
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        raise ConfigError(f"{line}this is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"this is not YAML: {error}") from error
    if not isinstance(raw, Mapping):
        raise ConfigError("the file must be a mapping of settings")
    return raw


def load(path: Path | str) -> Config:
    """The configuration in a file; relative paths in it are taken from the file's directory.

    Raises:
        ConfigError: the file cannot be read, or what it says is wrong.
    """
    path = Path(path)
    raw = load_raw(path)
    try:
        return parse(raw, base=path.resolve().parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def load_raw(path: Path | str) -> Mapping[str, Any]:
    """What a file says, not looked at yet.

    Raises:
        ConfigError: the file cannot be read, or is not YAML.
    """
    path = Path(path)
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
