"""How many jobs a second the control plane carries from assignment to completion, durably.

    python -m benchmarks.bench_control [--workers 200] [--jobs 4000] [--queued 100000]
                                          [--folder DIR]

All actors, a real ledger file with `synchronous=FULL`, simulated workers on the bus in memory.
Each job is three durable records: assigned, started, completed. `--queued` more jobs wait behind
them, of a kind that no worker fits, to show that they cost nothing. Beside each figure stands
what share it is of the bare disk's, measured in the same run: one row a record, group commit.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from benchmarks import bare_lease
from benchmarks.bare_lease import RECORDS
from relaymd import logs, process
from relaymd.actors.database import open_database
from relaymd.actors.ledger import Ledger
from relaymd.actors.orchestrator import World, orchestrator
from relaymd.actors.presence import Presence
from relaymd.bus import contract
from relaymd.bus import messages as m
from relaymd.bus.broker import Broker
from relaymd.bus.memory import MemoryBus
from relaymd.bus.memory_journal import MemoryJournal
from relaymd.core.ids import InstanceId, JobId, Monotonic, UnixTime, WorkerId
from relaymd.core.job import Bundle, Job, JobState
from relaymd.core.reaping import LivenessPolicy
from relaymd.core.resources import Requirements
from relaymd.core.restarts import RestartPolicy

BUNDLE = Bundle(key="k", digest="d", size=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--queued", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    given = parser.parse_args()
    logs.set_up("benchmark", level="warning", environ={})
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        process.run(_measure(Path(folder), given.workers, given.jobs, given.queued))


async def _measure(folder: Path, workers: int, jobs: int, queued: int) -> None:
    broker = Broker()
    async with (
        open_database(folder / "relaymd.db") as disk,
        Ledger.open(disk, wall=_wall) as ledger,
        asyncio.TaskGroup() as group,
    ):
        bare = jobs / await bare_lease.carry(folder, workers, jobs)
        _row("what", "jobs/s", "records/s", "of bare")
        _row("the bare disk", f"{bare:,.0f}", f"{RECORDS * bare:,.0f}", "1.00")
        running = group.create_task(orchestrator(_world(ledger, broker)).run())
        await asyncio.sleep(0.1)
        await _round(ledger, broker, workers, jobs, "a", bare)
        seconds = await _timed(_fill(ledger, queued, Requirements(gpus=8), "q"))
        _row(f"submits of {queued} jobs that fit nowhere", "", f"{queued / seconds:,.0f}", "")
        await _round(ledger, broker, workers, jobs, "b", bare)
        beats = await _heartbeats(broker, workers)
        _row(f"heartbeats of {workers} workers", "", f"{beats:,.0f}", "in memory")
        running.cancel()


async def _round(
    ledger: Ledger, broker: Broker, workers: int, jobs: int, prefix: str, bare: float
) -> None:
    waiting = len(ledger.backlog)
    await _fill(ledger, jobs, Requirements(), prefix)
    rate = jobs / await _timed(_serve_all(ledger, broker, workers, prefix))
    what = f"{jobs} jobs by {workers} workers, {waiting} others wait"
    _row(what, f"{rate:,.0f}", f"{RECORDS * rate:,.0f}", f"{rate / bare:.2f}")


async def _heartbeats(broker: Broker, workers: int) -> float:
    """Answered heartbeats a second; none of them is written down."""
    each = 50

    async def beat(id: WorkerId) -> None:
        bus, instance = MemoryBus(broker, id), InstanceId("i")
        await bus.ask(contract.REGISTER, m.Register(worker=id, instance=instance), within=60.0)
        for _ in range(each):
            await bus.ask(contract.HEARTBEAT, m.Heartbeat(worker=id, instance=instance))

    async with asyncio.TaskGroup() as group:
        begun = time.perf_counter()
        for number in range(workers):
            group.create_task(beat(WorkerId(f"w-h{number}")))
    return each * workers / (time.perf_counter() - begun)


def _row(what: str, jobs: str, records: str, share: str) -> None:
    print(f"{what:<52} {jobs:>10} {records:>12} {share:>10}", flush=True)


async def _serve_all(ledger: Ledger, broker: Broker, workers: int, prefix: str) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(workers):
            group.create_task(_work(broker, WorkerId(f"w-{prefix}{number}")))
    assert ledger.counts[JobState.RUNNING] == 0


async def _work(broker: Broker, id: WorkerId) -> None:
    """One worker, from its registration until there is no work."""
    bus, instance = MemoryBus(broker, id), InstanceId("i")
    await bus.ask(contract.REGISTER, m.Register(worker=id, instance=instance), within=60.0)
    ask = m.AskForWork(worker=id, instance=instance, wait=0.05)
    while isinstance((work := (await bus.ask(contract.WORK, ask)).work), m.Assignment):
        said: Any = {"worker": id, "job": work.job, "epoch": work.epoch}
        await bus.ask(contract.START, m.Start(**said), within=60.0)
        await bus.ask(contract.COMPLETE, m.Complete(**said), within=60.0)
    await bus.ask(contract.LEAVE, m.Leave(worker=id, instance=instance, reason="no work"))


async def _fill(ledger: Ledger, count: int, need: Requirements, prefix: str) -> None:
    now = ledger.wall()
    for first in range(0, count, 1000):
        async with asyncio.TaskGroup() as group:
            for number in range(first, min(first + 1000, count)):
                group.create_task(ledger.add(_job(f"j-{prefix}{number}", need, now)))


def _job(id: str, need: Requirements, now: UnixTime) -> Job:
    return Job(
        id=JobId(id),
        title="t",
        bundle=BUNDLE,
        requirements=need,
        submitted_at=now,
        queued_at=now,
    )


async def _timed(work: Coroutine[Any, Any, None]) -> float:
    begin = time.perf_counter()
    await work
    return time.perf_counter() - begin


def _world(ledger: Ledger, broker: Broker) -> World:
    return World(
        bus=MemoryBus(broker, "orchestrator"),
        journal=MemoryJournal(),
        ledger=ledger,
        presence=Presence(_monotonic),
        providers=[],
        rng=random.Random(1),
        policy=LivenessPolicy(),
        restarts=RestartPolicy(),
    )


def _monotonic() -> Monotonic:
    return Monotonic(asyncio.get_running_loop().time())


def _wall() -> UnixTime:
    return UnixTime(time.time())


if __name__ == "__main__":
    main()
