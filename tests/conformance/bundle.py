"""Turns a schema that is spread over files into one that stands alone.

Every `$ref` becomes a reference into the bundle's own `$defs`, so that a schema compiles once, without a retriever,
and the corrections of `corrections.py` are applied on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from tests.conformance.corrections import Correction, corrections_by_place
from tests.conformance.specification import BASE_URI, document

_PROSE = frozenset({"description", "example", "examples", "title", "summary"})


def node_at(uri: str) -> Any:
    """What stands in the specification at `uri`, whose fragment is a JSON pointer."""
    location, fragment = urldefrag(uri)
    node = document(location)
    for part in unquote(fragment).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        node = node[int(key)] if isinstance(node, list) else node[key]
    return node


class _Bundler:
    def __init__(self, corrections: Mapping[str, Correction]) -> None:
        self._corrections = corrections
        self._names: dict[str, str] = {}
        self.definitions: dict[str, Any] = {}

    def reference(self, uri: str) -> dict[str, str]:
        """A reference to the schema at `uri`, which joins the bundle if it is new."""
        name = self._names.get(uri)
        if name is None:
            name = self._names[uri] = f"{len(self._names)}"
            self.definitions[name] = self._copy(node_at(uri), uri)
        return {"$ref": f"#/$defs/{name}"}

    def _copy(self, node: Any, uri: str) -> Any:
        if isinstance(node, list):
            return [self._copy(each, f"{uri}/{number}") for number, each in enumerate(node)]
        if not isinstance(node, dict):
            return node
        copied: dict[str, Any] = {}
        in_properties = uri.endswith(("/properties", "/patternProperties"))
        for key, value in node.items():
            key = str(key)
            if not in_properties and (key in _PROSE or key.startswith("x-")):
                continue
            if key == "$ref" and isinstance(value, str):
                copied.update(self.reference(urljoin(uri, value)))
            else:
                separator = "/" if "#" in uri else "#/"
                copied[key] = self._copy(
                    value, f"{uri}{separator}{key.replace('~', '~0').replace('/', '~1')}"
                )
        correction = self._corrections.get(unquote(uri.removeprefix(BASE_URI)))
        return correction.apply(copied) if correction else copied


def bundle(uri: str) -> dict[str, Any]:
    """The schema at `uri` with everything that it refers to."""
    bundler = _Bundler(corrections_by_place())
    schema: dict[str, Any] = bundler.reference(uri)
    return {**schema, "$defs": bundler.definitions}
