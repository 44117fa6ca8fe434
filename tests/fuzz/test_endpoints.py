"""Generated requests, wrong and nearly right, at every endpoint: a Matrix answer every time, and never a 500."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.declared import served_endpoints
from tests.fuzz.requests import Shape, requests, shape_for
from tests.fuzz.world import PostgresSites, SqliteSites, World

EXAMPLES = int(os.environ.get("HEARTH_FUZZ_EXAMPLES", "25"))
SHAPES = [shape_for(endpoint.declaration, endpoint.handler) for endpoint in served_endpoints()]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared_world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, int]]:
    """A world, and how many requests each endpoint gets there."""
    if request.param == "sqlite":
        world = World(SqliteSites(tmp_path_factory.mktemp("fuzz")))
        yield world, EXAMPLES
    else:
        # What differs between databases are texts and numbers that they do not hold: fewer requests find it.
        world = World(PostgresSites(request.getfixturevalue("postgres_server")))
        yield world, max(1, EXAMPLES // 2)
    world.close()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.label)
def test_nothing_that_is_asked_breaks_the_server(shared_world: tuple[World, int], shape: Shape) -> None:
    world, examples = shared_world
    world.restore()

    @settings(
        max_examples=examples,
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
