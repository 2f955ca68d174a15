"""`kill -9` of the orchestrator with many jobs: how soon it serves again, and what restarts.

500 of 10,000 jobs run on simulated workers that go on sending heartbeats. From the signal to
the first answer, started again at once, as `relaymd up` does. Beside it the same process
before it has anything to read: an orchestrator of an empty ledger.
"""

import asyncio
import signal
import time

from benchmarks.crowd import BrokenLineError, SimulatedWorker, crowd, together
from benchmarks.rig import Plane, first_status, plane, submit
from benchmarks.rows import Row, Rows, Setting, at_most, median
from relaymd.core.job import JobState

JOBS = 10_000
RUNNING = 500
BEAT_EVERY = 1.0
WATCHED = 3.0
"""Seconds after a restart in which nothing may be restarted."""


async def measure(setting: Setting) -> Rows:
    times = setting.of(3, 10)
    async with plane(setting.scratch) as there:
        empty = [await _restart(there) for _ in range(times)]
    full: list[float] = []
    async with (
        plane(setting.scratch) as there,
        crowd(there.url, there.worker_password, [f"w-{n}" for n in range(RUNNING)]) as workers,
    ):
        operator = await there.operator()
        await submit(operator, JOBS)
        await there.quiet()
        await together(_begin(worker) for worker in workers)
        async with asyncio.TaskGroup() as group:
            beats = [group.create_task(_beat(worker)) for worker in workers]
            for _ in range(times):
                full.append(await _restart(there))
                await asyncio.sleep(WATCHED)
            status = await first_status(operator)
            for beat in beats:
                beat.cancel()
        assert status.jobs == {JobState.RUNNING: RUNNING, JobState.QUEUED: JOBS - RUNNING}, status
        epochs = await together(_standing(worker) for worker in workers)
        restarted = epochs.count(False)
    return [
        Row(
            what=f"orchestrator kill -9 to serving, {JOBS:,} jobs, {RUNNING} running",
            figure=median(full),
            unit="s",
            aim=at_most(1.0),
            beside=median(empty),
            beside_what="empty ledger",
        ),
        Row(what="of those running, restarted", figure=restarted, unit="jobs", aim=at_most(0)),
    ]


async def _begin(worker: SimulatedWorker) -> None:
    await worker.register()
    work = await worker.work(60.0)
    assert work is not None, "not every worker got a job"
    await worker.start(work)
    worker.hold(work)


async def _beat(worker: SimulatedWorker) -> None:
    while True:
        try:
            async with asyncio.timeout(BEAT_EVERY):
                await worker.beat()
        except (BrokenLineError, TimeoutError):
            pass  # nobody is there just now
        await asyncio.sleep(BEAT_EVERY)


async def _standing(worker: SimulatedWorker) -> bool:
    """Whether the lease that it was given at first still stands."""
    return not (await worker.beat_heard()).superseded


async def _restart(there: Plane) -> float:
    line = await there.operator()
    try:
        await there.orchestrator.end(signal.SIGKILL)
        begin = time.perf_counter()
        await there.orchestrator.start()
        await first_status(line)
        return time.perf_counter() - begin
    finally:
        line.close()
