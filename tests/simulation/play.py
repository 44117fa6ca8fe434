"""Plays one seed from beginning to end."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.actions import Schedule
from tests.simulation.invariants import list_faults
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a seed."""

    seed: int
    faults: list[str]
    trace: list[str]


def play(seed: int, *, steps: int = 60) -> Outcome:
    """Make the world of this seed, let it run, heal it, and look at what is left."""
    world = World(seed)
    try:
        faults = world.reactor.drive(_played(world, steps))
    finally:
        world.cleans_up()
    return Outcome(seed, faults, world.trace)


async def _played(world: World, steps: int) -> list[str]:
    random = world.random
    await world.begins(random.randint(2, 5), random.randint(1, 2))
    schedule = Schedule(world)
    await schedule.opens_rooms(random.randint(2, 4))
    await schedule.plays(steps)
    await schedule.settles()
    faults = await list_faults(world, schedule.chronicle)
    await world.ends()
    return faults
