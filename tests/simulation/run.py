"""One seed is one run: the same jobs, the same faults, the same end, to the byte."""

import asyncio
import gc
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import structlog

from relaymd.bus import contract
from relaymd.bus.bus import BusError
from relaymd.bus.memory import MemoryBus
from relaymd.bus.operating import CancelJob
from relaymd.core.allocation import AllocationState
from relaymd.core.job import JobState
from relaymd.storage import keys
from tests.simulation import weather
from tests.simulation.engine import problems
from tests.simulation.generations import ViolationError, restorable_step
from tests.simulation.loop import OverrunError, StuckError, VirtualLoop
from tests.simulation.plan import Fault, befall, planned
from tests.simulation.recipe import SOUND, Recipe
from tests.simulation.users import User
from tests.simulation.world import Shape, World

PATIENCE = 900.0
"""Virtual seconds within which every job must have ended once the faults have stopped."""

USUAL = Shape()


@dataclass
class Outcome:
    seed: int
    shape: Shape
    faults: tuple[Fault, ...]
    violations: list[str] = field(default_factory=list[str])
    story: list[str] = field(default_factory=list[str])
    digest: str = ""
    """Of every message and every event of the run: two runs of one seed have the same.

    Empty where it was not asked for.
    """

    virtual: float = 0.0
    """Seconds that went by in the simulated world."""

    turns: int = 0
    ends: Counter[str] = field(default_factory=Counter[str])
    """How the jobs ended."""


def simulate(
    seed: int,
    shape: Shape = USUAL,
    *,
    only: Collection[int] | None = None,
    recipe: Recipe = SOUND,
    keep: bool = False,
    real_files: Path | None = None,
    digested: bool = False,
) -> Outcome:
    """Run one seed. only: the numbers of the faults that happen; None: all.

    keep: the story also of a run in which all was well.
    real_files: a folder for the files of the nodes, which otherwise lie in memory.
    """
    structlog.configure(wrapper_class=cast(Any, Silence), cache_logger_on_first_use=False)
    faults = [fault for fault in planned(seed, shape) if only is None or fault.number in only]
    outcome = Outcome(seed, shape, tuple(faults))
    loop = VirtualLoop()  # type: ignore[abstract] # what nothing here calls is not written
    gc.disable()  # a run makes no more garbage than fits, and collecting it is a tenth of its time
    world = World(loop, seed, shape, recipe, real_files=real_files)
    run = Run(world, outcome)
    try:
        loop.run(run.main())
    except (StuckError, OverrunError) as exc:
        outcome.violations.append(str(exc))
    finally:
        gc.enable()
    outcome.violations += filter(None, [run.world.invariants.broken])
    outcome.violations += [f"a task raised {_shown(failure)}" for failure in loop.failures]
    outcome.story = run.world.story.lines() if keep or outcome.violations else []
    if digested:
        outcome.digest = world.story.digest(row.body for row in world.disk.events)
    outcome.virtual, outcome.turns = loop.time(), loop.turns
    return outcome


class Run:
    """Everything of one run, in its order."""

    def __init__(self, world: World, outcome: Outcome) -> None:
        self.world = world
        self._outcome = outcome
        self._users = [User(world, number) for number in range(world.shape.jobs)]

    async def main(self) -> None:
        world = self.world
        world.start_orchestrator()
        async with asyncio.TaskGroup() as group:
            for user in self._users:
                group.create_task(user.live())
            await self._hurt()
        await self._until_quiet()
        self._check_end()

    async def _hurt(self) -> None:
        world = self.world
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            for fault in self._outcome.faults:
                await asyncio.sleep(max(fault.at - loop.time(), 0.0))
                group.create_task(befall(fault, world))
        weather.clear(world)

    async def _until_quiet(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        while loop.time() < end and not self._is_quiet():
            await asyncio.sleep(0.2)
            await self._tidy()

    async def _tidy(self) -> None:
        """Jobs that a liar got accepted may never fit anywhere; an operator removes them."""
        bus = MemoryBus(self.world.broker, "operator")
        ours = {user.job for user in self._users}
        for id, job in [*self.world.disk.jobs.items()]:
            if id not in ours and not job.state.is_final and job.lease is None:
                with suppress(BusError):
                    await bus.ask(contract.CANCEL, CancelJob(job=id), within=1.0)

    def _is_quiet(self) -> bool:
        world = self.world
        return (
            not world.staff.hands
            and all(user.job in world.disk.jobs for user in self._users)
            and all(job.state.is_final for job in world.disk.jobs.values())
            and not self._live()
            and len(world.journal.stored) == len(world.disk.events)
        )

    def _live(self) -> list[str]:
        every = self.world.disk.allocations.values()
        return [one.id for one in every if one.state is not AllocationState.ENDED]

    def _check_end(self) -> None:
        world, found = self.world, self._outcome.violations
        world.check_crashes()
        for user in self._users:
            found += self._check_job(user)
        if world.staff.hands:
            found.append(f"workers never left: {sorted(world.staff.hands)}")
        if live := self._live():
            found.append(f"allocations never ended: {live}")
        if [body for _, body in world.journal.stored] != [row.body for row in world.disk.events]:
            found.append("the stream of events is not what the ledger recorded, once and in order")

    def _check_job(self, user: User) -> list[str]:
        world, id = self.world, user.job
        job = world.disk.jobs.get(id)
        if job is None:
            return [f"{id} was acknowledged and is forgotten"]
        if not job.state.is_final:
            return [f"{id} never ended: it is {job.state}, lease {job.lease}, end {job.end}"]
        self._outcome.ends[str(job.end.outcome if job.end else job.state)] += 1
        if not world.store.was_damaged:
            try:
                for checkpoint in job.checkpoints:
                    restorable_step(world.store, id, checkpoint)
            except ViolationError as exc:
                return [f"at the end, {exc}"]
        if job.state is JobState.CANCELLED:
            return [] if world.invariants.was_cancelled(id) else [f"{id}: nobody cancelled it"]
        if job.state is not JobState.COMPLETED:
            return [f"{id} is {job.state}: {job.end}"]
        body = world.store.objects.get(f"{keys.outputs(id, job.epoch)}ledger.txt")
        if body is None:
            return [f"{id} completed without its output"]
        return [f"{id}: {problem}" for problem in problems(body, user.steps)]


class Silence:
    """A logger that costs nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        """Whatever structlog gives a logger."""

    def bind(self, **_: object) -> "Silence":
        return self

    new = bind

    def _say(self, *_: object, **__: object) -> None: ...

    debug = info = warning = error = exception = critical = _say


def _shown(failure: dict[str, object]) -> str:
    return f"{failure.get('exception')!r}: {failure.get('message')}"
