"""One seed is one run: the same jobs, the same faults, the same end, to the byte."""

import asyncio
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

import structlog

from relaymd.bus import contract
from relaymd.bus.bus import BusError, RefusedError
from relaymd.bus.memory import MemoryBus
from relaymd.bus.messages import CancelJob, RequeueJob, Submit
from relaymd.core.ids import JobId
from relaymd.core.job import Bundle, JobState
from relaymd.storage import keys
from relaymd.storage.bundles import pack
from tests.simulation.engine import problems, specification
from tests.simulation.loop import OverrunError, StuckError, VirtualLoop
from tests.simulation.schedule import Fate
from tests.simulation.world import World

PATIENCE = 1200.0
"""Virtual seconds within which every job must have ended once the faults have stopped."""


@dataclass(frozen=True)
class Shape:
    """How large a run is."""

    jobs: int = 5
    workers: int = 4
    faults: int = 6
    within: float = 40.0


@dataclass
class Outcome:
    seed: int
    violations: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    digest: str = ""
    """Of every event of the run: two runs of one seed have the same."""

    virtual: float = 0.0
    turns: int = 0


def simulate(seed: int, shape: Shape = Shape()) -> Outcome:  # noqa: B008 - a frozen value
    """Run one seed."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[_drop])
    outcome = Outcome(seed)
    loop = VirtualLoop()
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="relaymd-simulation-", dir=base))
    run = Run(loop, seed, folder, shape, outcome)
    try:
        loop.run(run.main())
    except (StuckError, OverrunError) as exc:
        outcome.violations.append(str(exc))
    finally:
        outcome.story = run.world.story.lines() if outcome.violations else []
        shutil.rmtree(folder, ignore_errors=True)
    outcome.virtual, outcome.turns = loop.time(), loop.turns
    outcome.violations += [f"a task raised {_shown(failure)}" for failure in loop.failures]
    return outcome


class Run:
    def __init__(
        self, loop: VirtualLoop, seed: int, folder: Path, shape: Shape, outcome: Outcome
    ) -> None:
        self.world = World(loop, seed, folder, limit=shape.workers)
        self._rng = Random(f"{seed}/run")
        self._shape = shape
        self._outcome = outcome
        self._steps: dict[JobId, int] = {}
        self._acknowledged: set[JobId] = set()
        self._cancelled: set[JobId] = set()

    async def main(self) -> None:
        world, shape = self.world, self._shape
        world.start_orchestrator()
        fate = Fate(world, Random(f"{world.seed}/faults"), faults=shape.faults, within=shape.within)
        async with asyncio.TaskGroup() as group:
            group.create_task(fate.play())
            for number in range(shape.jobs):
                group.create_task(self._submit(number))
        self._outcome.faults = fate.counts
        await self._until_ended()
        self._check_end()

    async def _submit(self, number: int) -> None:
        """What a user does: upload, submit until it is acknowledged, sometimes change his mind."""
        world, rng = self.world, self._rng
        await asyncio.sleep(rng.uniform(0.0, self._shape.within / 2))
        steps = rng.randrange(3, 25)
        bundle, digest = bundle_of(steps, rng.choice([0.1, 0.4]), rng.choice([1, 3]))
        id = JobId(f"j-{number}")
        world.store.objects[keys.bundle(id)] = bundle
        self._steps[id] = steps
        message = Submit(
            job=id,
            title=f"job {number}",
            bundle=Bundle(key=keys.bundle(id), digest=digest, size=len(bundle)),
            priority=rng.choice([0, 0, 1]),
        )
        bus = MemoryBus(world.broker, f"user{number}")
        await self._until_done(bus, contract.SUBMIT, message)
        self._acknowledged.add(id)
        if rng.random() < 0.2:
            await asyncio.sleep(rng.uniform(0.0, 10.0))
            self._cancelled.add(id)
            await self._until_done(bus, contract.CANCEL, CancelJob(job=id))
            if rng.random() < 0.5:
                await asyncio.sleep(rng.uniform(0.0, 10.0))
                if await self._until_done(bus, contract.REQUEUE, RequeueJob(job=id)):
                    self._cancelled.discard(id)

    async def _until_done(self, bus, request, message) -> bool:
        """Ask until there is an answer; whether it was a yes."""
        while True:
            try:
                await bus.ask(request, message)
                return True
            except RefusedError as exc:
                if exc.refusal.error not in ("unavailable",):
                    return False
            except BusError:
                pass
            await asyncio.sleep(self._rng.uniform(0.1, 1.0))

    async def _until_ended(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        while loop.time() < end and not self.world.invariants.broken:
            await asyncio.sleep(1.0)
            if self._is_quiet():
                return

    def _all_final(self) -> bool:
        jobs = self.world.disk.jobs
        return all(id in jobs and jobs[id].state.is_final for id in self._acknowledged)

    def _is_quiet(self) -> bool:
        live = [one for one in self.world.disk.allocations.values() if one.state != "ended"]
        return self._all_final() and not live and not self.world.workers and self._all_published()

    def _all_published(self) -> bool:
        return len(self.world.journal.stored) == len(self.world.disk.events)

    def _check_end(self) -> None:
        world, found = self.world, self._outcome.violations
        if world.invariants.broken:
            found.append(world.invariants.broken)
            return
        for id in sorted(self._acknowledged):
            found += self._check_job(id)
        if world.workers:
            found.append(f"workers never left: {sorted(world.workers)}")
        live = [one.id for one in world.disk.allocations.values() if one.state != "ended"]
        if live:
            found.append(f"allocations never ended: {live}")
        published = [body for _, body in world.journal.stored]
        if published != [row.body for row in world.disk.events]:
            found.append("the stream of events is not what the ledger recorded, once and in order")
        if world.supervisor is not None:
            for actor in world.supervisor.health():
                if actor.restarts:
                    found.append(f"the actor {actor.name} crashed: {actor.last_error}")
        text = b"\n".join(published)
        self._outcome.digest = hashlib.sha256(text).hexdigest()[:16]

    def _check_job(self, id: JobId) -> list[str]:
        job = self.world.disk.jobs.get(id)
        if job is None:
            return [f"{id} was acknowledged and is forgotten"]
        if not job.state.is_final:
            return [f"{id} never ended: it is {job.state}, lease {job.lease}, end {job.end}"]
        if job.state is JobState.CANCELLED and id in self._cancelled:
            return []
        if job.state is not JobState.COMPLETED:
            if id in self._cancelled and job.state is JobState.CANCELLED:
                return []
            return [f"{id} is {job.state}: {job.end}"]
        body = self.world.store.objects.get(f"{keys.outputs(id, job.epoch)}ledger.txt")
        if body is None:
            return [f"{id} completed without its output"]
        return [f"{id}: {problem}" for problem in problems(body, self._steps[id])]


@cache
def bundle_of(steps: int, pace: float, every: int) -> tuple[bytes, str]:
    """A packed bundle, made once a process."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "bundle"
        source.mkdir()
        document = specification(steps, pace, every, poll=1.0)
        (source / "relaymd-worker.json").write_text(json.dumps(document))
        packed = pack(source, Path(folder) / "bundle.tar.gz")
        return packed.path.read_bytes(), packed.digest


def _drop(*_: object) -> None:
    raise structlog.DropEvent


def _shown(failure: dict[str, object]) -> str:
    return f"{failure.get('exception')!r}: {failure.get('message')}"
