"""What a long queue costs: submits, assignments and pages with 100,000 jobs beside 1,000.

Three control planes, one after the other: with 1,000 waiting jobs, with many, and with 1,000
once more, so that a machine that slows down meanwhile is not taken for ours. All waiting jobs
fit the workers, and each is a submit of its own, acknowledged when it is on disk.
"""

import asyncio
import time

from benchmarks.crowd import Line, SimulatedWorker, crowd, together
from benchmarks.rig import plane, submit
from benchmarks.rows import Row, Rows, Setting, at_most, median
from relaymd.bus import contract
from relaymd.bus.operating import ListJobs

FEW = 1000
SWEEP = 10_000
BATCH = 10_000
"""Submits that are under way at a time."""

SAMPLE = 400
WORKERS = 50
PATIENCE = 600.0
"""Seconds for the events of all submits to be published, and for an assignment."""

PAGE = 100
PAGES = 20


async def measure(setting: Setting) -> Rows:
    many = setting.of(20_000, 100_000)
    before = await _with_queue(setting, FEW)
    long = await _with_queue(setting, many)
    after = await _with_queue(setting, FEW)
    few = {name: (before[name] + after[name]) / 2 for name in before}
    beside = f"with {FEW:,}"
    return [
        Row(
            what=f"{SWEEP:,} single submits, each durable",
            figure=long["sweep"],
            unit="s",
            aim=at_most(1.0),
        ),
        *(
            Row(
                what=f"{what} with {many:,} queued",
                figure=long[name],
                unit="ms",
                beside=few[name],
                beside_what=beside,
                ratio_aim=at_most(1.2),
            )
            for name, what in (("submit", "a submit"), ("assign", "an assignment"))
        ),
        Row(
            what=f"a page of {PAGE} with {many:,} queued",
            figure=long["page"],
            unit="ms",
            aim=at_most(50),
            beside=few["page"],
            beside_what=beside,
        ),
    ]


async def _with_queue(setting: Setting, queued: int) -> dict[str, float]:
    """Seconds of the first sweep, where there is one; milliseconds of the others, each one."""
    found: dict[str, float] = {"sweep": 0.0}
    names = [f"w-{n}" for n in range(WORKERS)]
    async with (
        plane(setting.scratch) as there,
        crowd(there.url, there.worker_password, names) as workers,
    ):
        operator = await there.operator()
        for first in range(0, queued, BATCH):
            seconds = await submit(operator, min(BATCH, queued - first))
            found["sweep"] = found["sweep"] or seconds
        await there.quiet(PATIENCE)
        await together(worker.register() for worker in workers)
        found["submit"] = 1000 * median([await submit(operator, SAMPLE) for _ in range(3)]) / SAMPLE
        found["assign"] = await _assignment(workers)
        found["page"] = median([await _page(operator) for _ in range(PAGES)])
    return found


async def _assignment(workers: list[SimulatedWorker]) -> float:
    each = SAMPLE // len(workers)

    async def one(worker: SimulatedWorker) -> None:
        for _ in range(each):
            work = await worker.work(60.0)
            assert work is not None, "the queue is empty too early"
            await worker.complete(work)

    begin = time.perf_counter()
    await asyncio.wait_for(together(one(worker) for worker in workers), PATIENCE)
    return 1000 * (time.perf_counter() - begin) / (each * len(workers))


async def _page(operator: Line) -> float:
    begin = time.perf_counter()
    page = await operator.say(contract.JOBS, ListJobs(limit=PAGE))
    assert len(page.jobs) == PAGE
    return 1000 * (time.perf_counter() - begin)
