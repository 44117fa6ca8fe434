"""Generated requests, wrong and nearly right, at every endpoint: a Matrix answer every time, and never a 500."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.declared import served_endpoints
from tests.fuzz.requests import Shape, requests, shape_for
from tests.fuzz.world import World

EXAMPLES = int(os.environ.get("HEARTH_FUZZ_EXAMPLES", "25"))
SHAPES = [shape_for(endpoint.declaration, endpoint.handler) for endpoint in served_endpoints()]


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("fuzz"))
    yield world
    world.close()


@pytest.fixture
def world(shared_world: World) -> World:
    """As it was made, for every endpoint."""
    shared_world.restore()
    return shared_world


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.label)
def test_nothing_that_is_asked_breaks_the_server(world: World, shape: Shape) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        # The harness judges every answer; whatever is logged as an error fails the test too.
        world.ask(data.draw(requests(shape, world.values, world.speakers)))

    ask()
