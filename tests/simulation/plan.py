"""What fate will do in one run: every fault with its number, its moment and its kind."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from tests.simulation import hostility, mishaps, weather
from tests.simulation.world import Shape, World

Act: TypeAlias = Callable[[World, Random], Awaitable[None]]

WEATHERS: Mapping[str, Act] = {act.__name__: act for act in weather.ALL}
KINDS: Mapping[str, Act] = {act.__name__: act for act in (*mishaps.ALL, *hostility.ALL)}


@dataclass(frozen=True)
class Fault:
    number: int
    at: float
    kind: str

    def __str__(self) -> str:
        return f"#{self.number} {self.kind} at {self.at:.3f} s"


def planned(seed: int, shape: Shape) -> tuple[Fault, ...]:
    """All faults of a seed, weather first. The weather lasts; the others come and go."""
    rng = Random(f"{seed}/plan")
    skies = [kind for kind in WEATHERS if rng.random() < 0.3]
    moments = sorted(rng.uniform(0.0, shape.within) for _ in range(shape.faults))
    kinds = sorted(KINDS)
    drawn = [(0.0, kind) for kind in skies] + [(at, rng.choice(kinds)) for at in moments]
    return tuple(Fault(number, at, kind) for number, (at, kind) in enumerate(drawn))


async def befall(fault: Fault, world: World) -> None:
    """Let it happen. Its dice are its own, so that leaving out another changes nothing here."""
    act = WEATHERS.get(fault.kind) or KINDS[fault.kind]
    world.story.note(f"*** {fault}")
    await act(world, world.random(f"fault {fault.number}"))
