"""Heartbeats a second, each checked against the worker's leases and answered.

1,000 workers with a connection each, one running job and one idle slot, one heartbeat at a
time. Beside it an echo responder on nats-py alone, asked by the same workers, turn about.
"""

import asyncio
import time
from collections.abc import Callable

from benchmarks import bare
from benchmarks.crowd import SimulatedWorker, crowd, together
from benchmarks.rig import bare_part, plane, submit
from benchmarks.rows import Row, Rows, Setting, at_least, median

WORKERS = 1000
ROUNDS = 3
WAIT = 60.0
"""Seconds a question for work stays open: as of workers with a slot to spare."""


async def measure(setting: Setting) -> Rows:
    each = setting.of(10, 40)
    ours: list[float] = []
    others: list[float] = []
    async with (
        plane(setting.scratch) as there,
        bare_part(there, "echo"),
        crowd(there.url, there.worker_password, [f"w-{n}" for n in range(WORKERS)]) as workers,
    ):
        await together(worker.register(slots=2) for worker in workers)
        operator = await there.operator()
        await submit(operator, WORKERS)
        for worker, work in zip(
            workers, await together(w.work(WAIT) for w in workers), strict=True
        ):
            assert work is not None, "not every worker got a job"
            await worker.start(work)
            worker.hold(work)
            worker.ask_for_work(slot=1, wait=WAIT)
        await there.quiet()
        for _ in range(ROUNDS):
            others.append(await _rate(workers, each, _echo))
            ours.append(await _rate(workers, each, SimulatedWorker.beat))
    row = Row(
        what=f"heartbeats of {WORKERS:,} workers",
        figure=median(ours),
        unit="/s",
        aim=at_least(10_000),
        beside=median(others),
        beside_what="bare nats-py echo",
        ratio_aim=at_least(0.5),
        more_is_better=True,
    )
    return [row]


def _echo(worker: SimulatedWorker) -> asyncio.Future[bytes]:
    return worker.line.ask(bare.ECHO.format(worker=worker.id), b"{}")


async def _rate(
    workers: list[SimulatedWorker],
    each: int,
    ask: Callable[[SimulatedWorker], asyncio.Future[bytes]],
) -> float:
    async def one(worker: SimulatedWorker) -> None:
        for _ in range(each):
            await ask(worker)

    begin = time.perf_counter()
    await together(one(worker) for worker in workers)
    return each * len(workers) / (time.perf_counter() - begin)
