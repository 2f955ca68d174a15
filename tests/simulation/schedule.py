"""What fate does in one run: faults of every kind at times drawn from the seed."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from tests.simulation.loop import WORLD
from tests.simulation.world import World


class Fate:
    """Hurts the world for a while, then heals it for good."""

    def __init__(self, world: World, rng: Random, *, faults: int, within: float) -> None:
        self._world = world
        self._rng = rng
        self._faults = faults
        self._within = within
        self.counts: dict[str, int] = {}

    async def play(self) -> None:
        world, rng = self._world, self._rng
        world.network.loss = rng.choice([0.0, 0.0, 0.02, 0.1])
        world.network.doubling = rng.choice([0.0, 0.05, 0.2])
        world.network.slowest = rng.choice([0.002, 0.02, 0.3])
        world.store.trouble = rng.choice([0.0, 0.0, 0.02, 0.1])
        moments = sorted(rng.uniform(0.0, self._within) for _ in range(self._faults))
        loop = asyncio.get_running_loop()
        kinds: list[Callable[[], Awaitable[None]]] = [
            self.kill_worker,
            self.kill_worker_soon,
            self.freeze_worker,
            self.drain_worker,
            self.part_worker,
            self.kill_orchestrator,
            self.kill_orchestrator_soon,
            self.freeze_orchestrator,
            self.stop_broker,
            self.fill_disk,
            self.break_store,
            self.step_clock,
        ]
        async with asyncio.TaskGroup() as group:
            for moment in moments:
                await asyncio.sleep(max(moment - loop.time(), 0.0))
                kind = rng.choice(kinds)
                self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1
                world.story.note(f"*** {kind.__name__}")
                group.create_task(kind())
        world.network.loss = world.network.doubling = 0.0
        world.store.trouble = 0.0
        world.story.note("*** the world is whole again")

    async def kill_worker(self) -> None:
        if running := self._some_worker():
            self._world.loop.kill(running.process)

    async def kill_worker_soon(self) -> None:
        """At any await: after so many more of its turns."""
        if running := self._some_worker():
            running.process.doomed_at = running.process.turns + self._rng.randrange(1, 200)

    async def freeze_worker(self) -> None:
        if running := self._some_worker():
            self._world.loop.freeze(running.process)
            await asyncio.sleep(self._rng.choice([0.5, 5.0, 25.0]))
            self._world.loop.thaw(running.process)

    async def drain_worker(self) -> None:
        running = self._some_worker()
        if running and running.worker:
            self._world.loop.call_soon(
                running.worker.hurry, "the worker got SIGTERM", context=self._context(running)
            )

    async def part_worker(self) -> None:
        if running := self._some_worker():
            self._world.network.cut.add(running.party)
            await asyncio.sleep(self._rng.choice([0.5, 5.0, 25.0, 60.0]))
            if running.process.alive:
                self._world.network.cut.discard(running.party)

    async def kill_orchestrator(self) -> None:
        if self._world.orchestrator and self._world.orchestrator.alive:
            self._world.loop.kill(self._world.orchestrator)
            await asyncio.sleep(self._rng.choice([0.1, 2.0, 20.0]))
            self._world.start_orchestrator()

    async def kill_orchestrator_soon(self) -> None:
        """At any await: after so many more of its turns."""
        victim = self._world.orchestrator
        if victim and victim.alive:
            victim.doomed_at = victim.turns + self._rng.randrange(1, 300)
            while victim.alive:
                await asyncio.sleep(0.5)
            self._world.start_orchestrator()

    async def freeze_orchestrator(self) -> None:
        victim = self._world.orchestrator
        if victim and victim.alive:
            self._world.loop.freeze(victim)
            await asyncio.sleep(self._rng.choice([0.5, 5.0, 15.0]))
            self._world.loop.thaw(victim)

    async def stop_broker(self) -> None:
        world = self._world
        world.network.down += 1
        world.journal.available = False
        await asyncio.sleep(self._rng.choice([0.2, 3.0, 15.0]))
        world.network.down -= 1
        if not world.network.down:
            world.journal.available = True
            world.reconnected()

    async def fill_disk(self) -> None:
        self._world.disk.failing = True
        await asyncio.sleep(self._rng.choice([0.2, 2.0]))
        self._world.disk.failing = False

    async def break_store(self) -> None:
        store = self._world.store
        before, store.trouble = store.trouble, 1.0
        await asyncio.sleep(self._rng.choice([0.5, 3.0, 10.0]))
        store.trouble = before

    async def step_clock(self) -> None:
        """The orchestrator's wall clock is set: forward or back."""
        self._world.skew += self._rng.choice([-3600.0, -5.0, 5.0, 3600.0])

    def _some_worker(self):
        living = [one for one in self._world.workers.values() if one.process.alive]
        return self._rng.choice(living) if living else None

    def _context(self, running):
        context = WORLD.copy()
        return context
