"""A state tree is a dict that shares, names itself by its content and is cheap to compare."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from homeserver.events import state_tree
from homeserver.events.state_tree import EMPTY, KeyHash, NodeHash

# Keys that crowd: few distinct first bytes, so that trees grow deep and shrink again.
crowded_keys = st.builds(
    lambda head, tail: KeyHash(bytes((head, head)) + tail.to_bytes(14, "big")),
    st.sampled_from((0, 1, 16, 255)),
    st.integers(0, 255) | st.integers(0, 2**112 - 1),
)
keys = crowded_keys | st.binary(min_size=16, max_size=16).map(KeyHash)
values = st.integers(0, 50) | st.integers(0, 2**63 - 1)
states = st.dictionaries(keys, values, max_size=120)
histories = st.lists(st.dictionaries(keys, st.none() | values, max_size=60), max_size=8)


class Nodes:
    """The stored nodes of one room."""

    def __init__(self) -> None:
        self.by_hash: dict[NodeHash, bytes] = {}
        self.loads = 0

    def load(self, name: NodeHash) -> bytes:
        self.loads += 1
        return self.by_hash[name]

    def update(self, root: NodeHash, changes: dict[KeyHash, int | None]) -> NodeHash:
        root, new_nodes = state_tree.update(root, changes, self.load)
        self.by_hash |= new_nodes
        return root

    def build(self, entries: dict[KeyHash, int]) -> NodeHash:
        return self.update(EMPTY, dict(entries))


@given(histories)
def test_it_equals_a_dict_under_any_history_of_edits(history: list[dict[KeyHash, int | None]]) -> None:
    nodes, root, model = Nodes(), EMPTY, dict[KeyHash, int]()
    roots = []
    for changes in history:
        root = nodes.update(root, changes)
        model |= {key: value for key, value in changes.items() if value is not None}
        for key in (key for key, value in changes.items() if value is None):
            model.pop(key, None)
        roots.append((root, dict(model)))
    for old_root, old_model in roots:  # earlier states are still there, unchanged
        assert dict(state_tree.items(old_root, nodes.load)) == old_model
        assert state_tree.count(old_root, nodes.load) == len(old_model)
    for key in {key for changes in history for key in changes}:
        assert state_tree.get(root, key, nodes.load) == model.get(key)


@given(states, states)
def test_its_diff_equals_the_difference_of_the_dicts(
    old: dict[KeyHash, int], new: dict[KeyHash, int]
) -> None:
    nodes = Nodes()
    found = list(state_tree.diff(nodes.build(old), nodes.build(new), nodes.load))
    expected = {key: (old.get(key), new.get(key)) for key in old | new if old.get(key) != new.get(key)}
    assert {key: (before, after) for key, before, after in found} == expected
    assert len(found) == len(expected)


@given(states, st.data())
def test_the_same_content_has_the_same_root_whatever_the_order(
    state: dict[KeyHash, int], data: st.DataObject
) -> None:
    nodes, root = Nodes(), EMPTY
    detours = data.draw(st.dictionaries(keys, values, max_size=60))
    for key, value in data.draw(st.permutations(sorted((detours | state).items()))):
        root = nodes.update(root, {key: value})
    for key in detours.keys() - state.keys():
        root = nodes.update(root, {key: None})
    assert root == Nodes().build(state)


@given(st.lists(states, min_size=1, max_size=4))
def test_conflicts_are_the_keys_on_which_states_disagree(forks: list[dict[KeyHash, int]]) -> None:
    nodes = Nodes()
    found = state_tree.conflicts([nodes.build(fork) for fork in forks], nodes.load)
    everywhere = {key: tuple(fork.get(key) for fork in forks) for fork in forks for key in fork}
    assert found == {key: each for key, each in everywhere.items() if len(set(each)) > 1}


@given(states, st.dictionaries(keys, st.none() | values, max_size=60))
def test_update_returns_exactly_the_nodes_that_are_missing(
    state: dict[KeyHash, int], changes: dict[KeyHash, int | None]
) -> None:
    nodes = Nodes()
    root = nodes.build(state)
    before = set(state_tree.walk(root, nodes.load, set()))
    new_root, new_nodes = state_tree.update(root, changes, nodes.load)
    nodes.by_hash |= new_nodes
    assert set(new_nodes) == set(state_tree.walk(new_root, nodes.load, before))


def test_a_small_room_is_one_node() -> None:
    nodes = Nodes()
    nodes.build(
        {state_tree.key_hash("m.room.member", f"@user{n}:hs"): n for n in range(state_tree.LEAF_ENTRIES)}
    )
    assert len(nodes.by_hash) == 1


def test_a_change_in_a_huge_room_is_small_to_write_and_to_find() -> None:
    nodes = Nodes()
    members = [state_tree.key_hash("m.room.member", f"@user{n}:hs") for n in range(100_000)]
    root = nodes.build({key: number for number, key in enumerate(members)})
    sizes = []
    for number, key in enumerate(members[:: len(members) // 100], 1_000_000):
        changed, new_nodes = state_tree.update(root, {key: number}, nodes.load)
        nodes.by_hash |= new_nodes
        sizes.append(sum(map(len, new_nodes.values())))
        nodes.loads = 0
        assert [(key, after) for key, _, after in state_tree.diff(root, changed, nodes.load)] == [
            (key, number)
        ]
        assert nodes.loads <= 10
    assert max(sizes) <= 2048
    assert sum(sizes) / len(sizes) <= 1400


def test_the_halves_of_a_key_do_not_run_together() -> None:
    assert state_tree.key_hash("a", "bc") != state_tree.key_hash("ab", "c")
    assert len(state_tree.key_hash("m.room.name", "")) == state_tree.HASH_BYTES
