"""Room state as a persistent, content-addressed hash trie: (type, state_key) -> event number.

A state is named by the hash of its root node, and never changes. A new state shares every node with the old
one except those on the paths to what changed, so a state event writes O(log n) small nodes; two states are
compared in O(difference), since equal hashes mean equal subtrees. Nodes are bytes; whoever stores them hands
in `load`.

Invariants:
- The shape depends on the content alone: a subtree of at most `LEAF_ENTRIES` entries is one leaf, a larger
  one an inner node. So the same content has the same root, whatever the order of the edits, and most rooms
  are a single node.
- Keys are 128-bit digests, node hashes too. With 64 bits somebody could find two state keys of one digest in
  an afternoon and have one hide the other; with 128 nobody can, so a digest stands for its key.

Layout of a leaf: the width of its values (4 or 8), its keys in order, its values in the order of the keys.
Layout of an inner node: 0, the 16-bit map of its children, the number of entries below it (32 bits), the
hashes of its children.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import NewType

NodeHash = NewType("NodeHash", bytes)
"""The name of a node, and so of everything below it."""

KeyHash = NewType("KeyHash", bytes)
"""The digest that stands for a (type, state_key) in a state tree."""

Load = Callable[[NodeHash], bytes]

EMPTY = NodeHash(b"")
"""The root of the state without entries; there is no node of this name to load."""

LEAF_ENTRIES = 32
HASH_BYTES = 16
_FAN_OUT = 16
_INNER = 0
_INNER_HEADER_BYTES = 7
_NARROW_LIMIT = 1 << 32
_WIDE_LIMIT = 1 << 63


def key_hash(event_type: str, state_key: str) -> KeyHash:
    """The digest of a state key; 0xff, which is never part of UTF-8, keeps the two halves apart."""
    data = b"%b\xff%b" % (
        event_type.encode("utf-8", "surrogatepass"),
        state_key.encode("utf-8", "surrogatepass"),
    )
    return KeyHash(blake2b(data, digest_size=HASH_BYTES).digest())


def get(root: NodeHash, key: KeyHash, load: Load) -> int | None:
    """The event number under `key`, or None."""
    depth = 0
    while root:
        node = load(root)
        if node[0] != _INNER:
            return _leaf_value(node, key)
        root = _child(node, _branch(key, depth))
        depth += 1
    return None


def get_many(root: NodeHash, keys: Iterable[KeyHash], load: Load) -> dict[KeyHash, int]:
    """The event numbers under those of `keys` that the state has."""
    found = ((key, get(root, key, load)) for key in keys)
    return {key: value for key, value in found if value is not None}


def count(root: NodeHash, load: Load) -> int:
    """How many entries the state has."""
    return _count(load(root)) if root else 0


def items(root: NodeHash, load: Load) -> Iterator[tuple[KeyHash, int]]:
    """Every entry, in the order of the keys."""
    if root:
        yield from _items(load(root), load)


def update(
    root: NodeHash, changes: Mapping[KeyHash, int | None], load: Load
) -> tuple[NodeHash, dict[NodeHash, bytes]]:
    """The state after `changes` (None removes a key), and the nodes of it that `root` does not have.

    A returned node may already be stored, if the room was in such a state before.
    """
    new_nodes: dict[NodeHash, bytes] = {}
    new_root, _ = _update(root, list(changes.items()), 0, load, new_nodes)
    return new_root, new_nodes


def diff(old: NodeHash, new: NodeHash, load: Load) -> Iterator[tuple[KeyHash, int | None, int | None]]:
    """What differs between two states: (key, value in `old`, value in `new`); None where it has none."""
    if old == new:
        return
    old_node, new_node = (load(old) if old else None), (load(new) if new else None)
    if old_node is not None and new_node is not None and old_node[0] == _INNER and new_node[0] == _INNER:
        for old_child, new_child in zip(_branches(old_node), _branches(new_node), strict=True):
            yield from diff(old_child, new_child, load)
        return
    old_entries = dict(_items(old_node, load)) if old_node is not None else {}
    new_entries = dict(_items(new_node, load)) if new_node is not None else {}
    for key, value in old_entries.items():
        other = new_entries.get(key)
        if other != value:
            yield key, value, other
    for key, value in new_entries.items():
        if key not in old_entries:
            yield key, None, value


def conflicts(roots: Sequence[NodeHash], load: Load) -> dict[KeyHash, tuple[int | None, ...]]:
    """The keys on which the states do not all agree, with their value in each: where state resolution starts.

    The keys that are not in it have the same value in every state.
    """
    if not roots:
        return {}
    first, *others = roots
    found: dict[KeyHash, list[int | None]] = {}
    for place, other in enumerate(others, 1):
        for key, ours, theirs in diff(first, other, load):
            found.setdefault(key, [ours] * len(roots))[place] = theirs
    return {key: tuple(values) for key, values in found.items()}


def walk(root: NodeHash, load: Load, known: set[NodeHash]) -> Iterator[NodeHash]:
    """Every node of the state that is not in `known`, which grows by them.

    A garbage collection keeps what this finds from every state that is still needed.
    """
    if not root or root in known:
        return
    known.add(root)
    yield root
    node = load(root)
    if node[0] == _INNER:
        for child in _children(node):
            yield from walk(child, load, known)


def _items(node: bytes, load: Load) -> Iterator[tuple[KeyHash, int]]:
    if node[0] != _INNER:
        yield from _leaf_entries(node).items()
        return
    for child in _children(node):
        yield from _items(load(child), load)


def _branch(key: KeyHash, depth: int) -> int:
    byte = key[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


def _count(node: bytes) -> int:
    if node[0] == _INNER:
        return int.from_bytes(node[3:7], "big")
    return (len(node) - 1) // (HASH_BYTES + node[0])


def _child(node: bytes, branch: int) -> NodeHash:
    present = node[1] << 8 | node[2]
    if not present >> branch & 1:
        return EMPTY
    start = _INNER_HEADER_BYTES + HASH_BYTES * (present & ((1 << branch) - 1)).bit_count()
    return NodeHash(node[start : start + HASH_BYTES])


def _children(node: bytes) -> Iterator[NodeHash]:
    for start in range(_INNER_HEADER_BYTES, len(node), HASH_BYTES):
        yield NodeHash(node[start : start + HASH_BYTES])


def _branches(node: bytes) -> list[NodeHash]:
    """The children by branch, EMPTY where there is none."""
    present = node[1] << 8 | node[2]
    children = _children(node)
    return [next(children) if present >> branch & 1 else EMPTY for branch in range(_FAN_OUT)]


def _leaf_value(node: bytes, key: KeyHash) -> int | None:
    width = node[0]
    entries = (len(node) - 1) // (HASH_BYTES + width)
    values_at = 1 + entries * HASH_BYTES
    found = node.find(key, 1, values_at)
    while found >= 0:
        place, offset = divmod(found - 1, HASH_BYTES)
        if not offset:
            return int.from_bytes(node[values_at + place * width : values_at + (place + 1) * width], "big")
        found = node.find(key, found + 1, values_at)
    return None


def _leaf_entries(node: bytes) -> dict[KeyHash, int]:
    width = node[0]
    values_at = 1 + (len(node) - 1) // (HASH_BYTES + width) * HASH_BYTES
    return {
        KeyHash(node[key_at : key_at + HASH_BYTES]): int.from_bytes(node[value_at : value_at + width], "big")
        for key_at, value_at in zip(
            range(1, values_at, HASH_BYTES), range(values_at, len(node), width), strict=True
        )
    }


def _put(node: bytes, new_nodes: dict[NodeHash, bytes]) -> NodeHash:
    name = NodeHash(blake2b(node, digest_size=HASH_BYTES).digest())
    new_nodes[name] = node
    return name


def _put_inner(children: Sequence[NodeHash], total: int, new_nodes: dict[NodeHash, bytes]) -> NodeHash:
    present = sum(1 << branch for branch, child in enumerate(children) if child)
    header = bytes((_INNER,)) + present.to_bytes(2, "big") + total.to_bytes(4, "big")
    return _put(header + b"".join(children), new_nodes)


def _put_entries(entries: Mapping[KeyHash, int], depth: int, new_nodes: dict[NodeHash, bytes]) -> NodeHash:
    """The subtree that holds exactly `entries`."""
    if not entries:
        return EMPTY
    if len(entries) > LEAF_ENTRIES:
        parts: list[dict[KeyHash, int]] = [{} for _ in range(_FAN_OUT)]
        for key, value in entries.items():
            parts[_branch(key, depth)][key] = value
        children = [_put_entries(part, depth + 1, new_nodes) for part in parts]
        return _put_inner(children, len(entries), new_nodes)
    if min(entries.values()) < 0 or max(entries.values()) >= _WIDE_LIMIT:
        raise ValueError("event numbers are 63-bit")
    width = 4 if max(entries.values()) < _NARROW_LIMIT else 8
    keys = sorted(entries)
    values = [entries[key].to_bytes(width, "big") for key in keys]
    return _put(b"".join((bytes((width,)), *keys, *values)), new_nodes)


def _update(
    root: NodeHash,
    changes: Sequence[tuple[KeyHash, int | None]],
    depth: int,
    load: Load,
    new_nodes: dict[NodeHash, bytes],
) -> tuple[NodeHash, int]:
    """The subtree at `root` after `changes`, and by how many entries it grew."""
    node = load(root) if root else None
    if node is not None and node[0] == _INNER:
        return _update_inner(root, node, changes, depth, load, new_nodes)
    before = _leaf_entries(node) if node is not None else {}
    after = dict(before)
    for key, value in changes:
        if value is None:
            after.pop(key, None)
        else:
            after[key] = value
    if after == before:
        return root, 0
    return _put_entries(after, depth, new_nodes), len(after) - len(before)


def _update_inner(
    root: NodeHash,
    node: bytes,
    changes: Sequence[tuple[KeyHash, int | None]],
    depth: int,
    load: Load,
    new_nodes: dict[NodeHash, bytes],
) -> tuple[NodeHash, int]:
    by_branch: dict[int, list[tuple[KeyHash, int | None]]] = {}
    for change in changes:
        by_branch.setdefault(_branch(change[0], depth), []).append(change)
    children = _branches(node)
    before = list(children)
    grown = 0
    for branch, part in by_branch.items():
        children[branch], grown_here = _update(children[branch], part, depth + 1, load, new_nodes)
        grown += grown_here
    if children == before:
        return root, 0
    total = _count(node) + grown
    if total > LEAF_ENTRIES:
        return _put_inner(children, total, new_nodes), grown
    # Few enough entries for one leaf: the children, all leaves by now, are folded into it and not stored.
    entries: dict[KeyHash, int] = {}
    for child in filter(None, children):
        entries |= _leaf_entries(new_nodes.pop(child, b"") or load(child))
    return _put_entries(entries, depth, new_nodes), grown
