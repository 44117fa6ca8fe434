"""Typed sections of the configuration: one declared schema that parses, refuses and documents. Pure."""

from __future__ import annotations

from config.config import Config
from config.errors import ConfigError
from config.loading import load, parse

__all__ = ["Config", "ConfigError", "load", "parse"]
