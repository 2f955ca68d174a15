"""How long a job lies still after its worker died: by a crash, and by a hang.

The real orchestrator with its defaults. A crash is a connection that closes without a word, as
the kernel closes those of a killed process; a hang is a worker that keeps its connection and
says nothing any more. Until another, idle worker has the job's next lease in its hands.
"""

import asyncio
import time
from itertools import pairwise

from benchmarks.crowd import Line, SimulatedWorker, crowd
from benchmarks.rig import plane, submit
from benchmarks.rows import Row, Rows, Setting, at_most, median, p99

BEAT_EVERY = 1.0
WAIT = 60.0


async def measure(setting: Setting) -> Rows:
    crashes = setting.of(12, 100)
    async with plane(setting.scratch) as there:
        names = [f"w-{number}" for number in range(crashes + 1)]
        async with crowd(there.url, there.worker_password, names) as workers:
            operator = await there.operator()
            crashed = await _one_after_the_other(operator, workers, hang=False)
        names = ["w-hung", "w-next"]
        async with crowd(there.url, there.worker_password, names) as workers:
            (hung,) = await _one_after_the_other(operator, workers, hang=True)
    return [
        Row(
            what="worker crash to leased elsewhere, p99",
            figure=p99(crashed),
            unit="s",
            aim=at_most(2.0),
        ),
        Row(what="the same, median", figure=median(crashed), unit="s"),
        Row(what="worker hang to leased elsewhere", figure=hung, unit="s", aim=at_most(30.0)),
    ]


async def _one_after_the_other(
    operator: Line, workers: list[SimulatedWorker], *, hang: bool
) -> list[float]:
    """Each worker inherits the job of the one before it, completes it, and dies with the next."""
    found: list[float] = []
    await workers[0].register()
    for beating, heir in pairwise(workers):
        await submit(operator, 1)
        work = await beating.work(WAIT)
        assert work is not None, "no job came"
        await beating.start(work)
        beating.hold(work)
        async with asyncio.TaskGroup() as group:
            beats = group.create_task(_beat(beating))
            await heir.register()
            heirs = group.create_task(_beat(heir))
            asked = group.create_task(heir.work(WAIT))
            await asyncio.sleep(BEAT_EVERY / 2)
            begin = time.perf_counter()
            beats.cancel()
            if hang:
                beating.mute()
            else:
                beating.line.close()
            inherited = await asked
            found.append(time.perf_counter() - begin)
            heirs.cancel()
        assert inherited is not None, "nobody inherited the job"
        assert inherited.epoch == work.epoch + 1
        await heir.complete(inherited)
    return found


async def _beat(worker: SimulatedWorker) -> None:
    while True:
        await worker.beat()
        await asyncio.sleep(BEAT_EVERY)
