"""Bodies that nearly fit a JSON schema: made to fit, and then perhaps spoilt."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.values import Values, json_values, named_text, numbers

Schema = Mapping[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

MAX_DEPTH = 5

# Bodies that are wrong before anybody looks at what they say.
BROKEN = (
    b"", b"{", b"}", b"[]", b"null", b"5", b'"text"', b"{}{}", b"{} x", b"\xff\xfe", b'{"a":"\xff"}',
    b'{"a":"\\ud800"}',
    b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":01}', b"[" * 500, b'{"a":' * 500 + b"1" + b"}" * 500,
    b'{"a":' + b"9" * 5000 + b"}", b'{"a":1e999}', b"\xef\xbb\xbf{}", b"{'a':1}", b'{"a":}', b"[[[[[[]]]]]]" * 3,
)  # fmt: skip


def _dereference(schema: Any, root: Schema) -> Schema:
    while isinstance(schema, Mapping) and "$ref" in schema:
        node: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        schema = {**node, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema if isinstance(schema, Mapping) else {}


def _properties(schema: Schema, root: Schema) -> tuple[dict[str, Any], set[str]]:
    """The properties of an object schema and the names of the required ones, those of `allOf` included."""
    properties = dict(schema.get("properties", {}))
    required = set(schema.get("required", ()))
    for part in schema.get("allOf", ()):
        inner, needed = _properties(_dereference(part, root), root)
        properties |= inner
        required |= needed
    return properties, required


def draw_fitting(
    draw: Draw, schema: Schema, root: Schema, values: Values, *, name: str = "", depth: int = 0
) -> Any:
    """A value that fits the schema, or nearly."""
    schema = _dereference(schema, root)
    for union in ("oneOf", "anyOf"):
        if schema.get(union):
            chosen = draw(st.sampled_from(schema[union]))
            merged = {key: value for key, value in schema.items() if key != union}
            return draw_fitting(
                draw, {**merged, **_dereference(chosen, root)}, root, values, name=name, depth=depth
            )
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return draw(st.sampled_from(schema["enum"]))
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = draw(st.sampled_from(kind))
    if kind is None:
        kind = "object" if "properties" in schema or "allOf" in schema else "any"
    if depth > MAX_DEPTH:
        return draw(json_values)
    match kind:
        case "object":
            return _draw_object(draw, schema, root, values, name, depth)
        case "array":
            count = draw(st.integers(0, 3))
            items = schema.get("items", {})
            return [draw_fitting(draw, items, root, values, name=name, depth=depth + 1) for _ in range(count)]
        case "string":
            return draw(named_text(name, values))
        case "integer" | "number":
            return draw(numbers)
        case "boolean":
            return draw(st.booleans())
        case "null":
            return None
    return draw(json_values)


def _draw_object(
    draw: Draw, schema: Schema, root: Schema, values: Values, name: str, depth: int
) -> dict[str, Any]:
    properties, required = _properties(schema, root)
    made: dict[str, Any] = {}
    for key, inner in properties.items():
        if key in required or draw(st.integers(0, 2)) == 0:
            made[key] = draw_fitting(draw, inner, root, values, name=key, depth=depth + 1)
    extra = schema.get("additionalProperties")
    if isinstance(extra, Mapping):
        for _ in range(draw(st.integers(0, 2))):
            key = draw(named_text(name, values))
            made[key] = draw_fitting(draw, extra, root, values, depth=depth + 1)
    return made


def _spoil(draw: Draw, value: Any) -> Any:
    """The value with one thing in it replaced, removed or added."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        what = draw(st.integers(0, 3))
        if what == 0:
            return {other: inner for other, inner in value.items() if other != key}
        if what == 1:
            return {**value, draw(st.text(max_size=5)): draw(json_values)}
        return {**value, key: _spoil(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 2)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _spoil(draw, value[at]), *value[at + 1 :]]
    return draw(json_values)


def draw_body(draw: Draw, schema: Schema | None, values: Values) -> bytes:
    """The bytes of a body: broken, nonsense, nearly right or right."""
    choice = draw(st.integers(0, 9))
    if choice == 0:
        broken: bytes = draw(st.sampled_from(BROKEN))
        return broken
    if choice == 1 or schema is None:
        value = draw(json_values)
    else:
        value = draw_fitting(draw, schema, schema, values)
        for _ in range(max(0, draw(st.integers(-2, 2)))):
            value = _spoil(draw, value)
    return json.dumps(value).encode()
