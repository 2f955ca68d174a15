"""How many jobs a second are assigned, started and completed, each of the three on disk.

200 workers with a connection each, the whole orchestrator in its own process, the real policy.
Beside it the bare probe: the same workers over the same bus, three questions a job, each of
them one lease row in SQLite with group commit, and nothing else.
"""

import time

from benchmarks import bare
from benchmarks.crowd import SimulatedWorker, crowd, together
from benchmarks.rig import bare_part, plane, submit
from benchmarks.rows import Row, Rows, Setting, at_least, at_most, median, p99

WORKERS = 200
ROUNDS = 3
WAIT = 5.0


async def measure(setting: Setting) -> Rows:
    jobs = setting.of(2000, 6000)
    ours: list[float] = []
    others: list[float] = []
    waits: list[float] = []
    async with (
        plane(setting.scratch) as there,
        bare_part(there, "lease"),
        crowd(there.url, there.worker_password, [f"w-{n}" for n in range(WORKERS)]) as workers,
    ):
        operator = await there.operator()
        await together(worker.register() for worker in workers)
        for _ in range(ROUNDS):
            others.append(await _bare_rate(workers, jobs))
            await submit(operator, jobs)
            await there.quiet()
            ours.append(await _rate(workers, jobs, waits))
    return [
        Row(
            what=f"durable assign + start + complete, {WORKERS} workers",
            figure=median(ours),
            unit="jobs/s",
            aim=at_least(2000),
            beside=median(others),
            beside_what="bare bus + lease row",
            ratio_aim=at_least(0.4),
            more_is_better=True,
        ),
        Row(
            what="of that, the longest of the three answers, p99",
            figure=p99(waits),
            unit="ms",
            aim=at_most(50),
        ),
    ]


async def _rate(workers: list[SimulatedWorker], jobs: int, waits: list[float]) -> float:
    """All of the queue, each worker as many as it gets."""
    left = jobs

    async def one(worker: SimulatedWorker) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            a = time.perf_counter()
            work = await worker.work(WAIT)
            b = time.perf_counter()
            assert work is not None, "the queue is empty too early"
            await worker.start(work)
            c = time.perf_counter()
            await worker.complete(work)
            waits.append(1000 * max(b - a, c - b, time.perf_counter() - c))

    begin = time.perf_counter()
    await together(one(worker) for worker in workers)
    return jobs / (time.perf_counter() - begin)


async def _bare_rate(workers: list[SimulatedWorker], jobs: int) -> float:
    each = jobs // len(workers)

    async def one(worker: SimulatedWorker) -> None:
        subject = bare.LEASE.format(worker=worker.id)
        for _ in range(3 * each):
            await worker.line.ask(subject, b'{"job":"j-1","epoch":1}')

    begin = time.perf_counter()
    await together(one(worker) for worker in workers)
    return each * len(workers) / (time.perf_counter() - begin)
