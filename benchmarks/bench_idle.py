"""What 2,000 idle workers cost the orchestrator: processor time and memory.

Each has a connection, a question for work that waits, and a heartbeat every five seconds, as by
default.
"""

import asyncio
import random
import time
from collections.abc import Callable

from benchmarks.crowd import BrokenLineError, SimulatedWorker, crowd
from benchmarks.rig import plane
from benchmarks.rows import Row, Rows, Setting, at_most

WORKERS = 2000
BEAT_EVERY = 5.0
ASK_WAIT = 30.0
SETTLE = 8.0
"""Seconds until registrations are over and their events published."""


async def measure(setting: Setting) -> Rows:
    seconds = setting.of(10, 60)
    names = [f"w-{number}" for number in range(WORKERS)]
    async with (
        plane(setting.scratch) as there,
        crowd(there.url, there.worker_password, names) as workers,
    ):
        async with asyncio.TaskGroup() as group:
            lives = [group.create_task(idle(worker)) for worker in workers]
            await asyncio.sleep(SETTLE)
            await there.quiet()
            cpu, begin = there.orchestrator.cpu(), time.perf_counter()
            await asyncio.sleep(seconds)
            share = (there.orchestrator.cpu() - cpu) / (time.perf_counter() - begin)
            memory = there.orchestrator.memory()
            for life in lives:
                life.cancel()
        assert (await there.serving()).workers == WORKERS, "workers were lost"
    return [
        Row(
            what=f"{WORKERS:,} idle workers, of one core",
            figure=100 * share,
            unit="%",
            aim=at_most(5),
        ),
        Row(
            what=f"{WORKERS:,} idle workers, memory of the orchestrator",
            figure=memory,
            unit="MB",
            aim=at_most(250),
        ),
    ]


async def idle(worker: SimulatedWorker, answered: Callable[[], object] = lambda: None) -> None:
    """Register, then beat and ask for work for ever. answered: called for each heartbeat."""
    await worker.register()
    async with asyncio.TaskGroup() as group:
        group.create_task(_ask(worker))
        await asyncio.sleep(random.uniform(0, BEAT_EVERY))
        while True:
            await worker.beat()
            answered()
            await asyncio.sleep(BEAT_EVERY)


async def _ask(worker: SimulatedWorker) -> None:
    while True:
        try:
            await worker.ask_for_work(slot=0, wait=ASK_WAIT * random.uniform(0.8, 1.2))
        except BrokenLineError:
            return
