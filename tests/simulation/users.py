"""The people of a simulation: they submit, wait for an answer, and sometimes change their mind."""

import asyncio
import json
import tempfile
from functools import cache
from pathlib import Path

from relaymd.bus import contract
from relaymd.bus.bus import Bus, BusError, RefusedError
from relaymd.bus.memory import MemoryBus
from relaymd.bus.messages import RefusalCode
from relaymd.bus.operating import CancelJob, JobView, RequeueJob, Submit
from relaymd.bus.subjects import Req, Request
from relaymd.core.ids import JobId
from relaymd.core.job import Bundle
from relaymd.storage import keys
from relaymd.storage.bundles import pack
from tests.simulation.engine import specification
from tests.simulation.world import World


class User:
    """One of them, with one job."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._rng = world.random(f"user {number}")
        self._bus: Bus = MemoryBus(world.broker, f"user{number}")
        self.job = JobId(f"j-{number}")
        self.steps = self._rng.randrange(3, 15)

    async def live(self) -> None:
        """Upload, submit until it is acknowledged; perhaps cancel, perhaps requeue."""
        world, rng = self._world, self._rng
        await asyncio.sleep(rng.uniform(0.0, world.shape.within / 2))
        await self._until_answered(contract.SUBMIT, self._submit())
        world.invariants.submit_acknowledged(self.job)
        if rng.random() < 0.2:
            await asyncio.sleep(rng.uniform(0.0, 4.0))
            if await self._until_answered(contract.CANCEL, CancelJob(job=self.job)):
                world.invariants.cancel_acknowledged(self.job)
            if rng.random() < 0.5:
                await asyncio.sleep(rng.uniform(0.0, 4.0))
                await self._until_answered(contract.REQUEUE, RequeueJob(job=self.job))

    def _submit(self) -> Submit:
        rng, job = self._rng, self.job
        data, digest = bundle_of(self.steps, rng.choice([0.1, 0.3]), rng.choice([1, 3]))
        self._world.store.objects[keys.bundle(job)] = data
        return Submit(
            job=job,
            title=f"job {job}",
            bundle=Bundle(key=keys.bundle(job), digest=digest, size=len(data)),
            priority=rng.choice([0, 0, 1]),
        )

    async def _until_answered(self, request: Request[Req, JobView], message: Req) -> bool:
        """Ask until there is an answer; whether it was a yes."""
        while True:
            try:
                await self._bus.ask(request, message)
                return True
            except RefusedError as exc:
                if exc.refusal.error is not RefusalCode.UNAVAILABLE:
                    return False
            except BusError:
                pass
            await asyncio.sleep(self._rng.uniform(0.1, 1.0))


@cache
def bundle_of(steps: int, pace: float, every: int) -> tuple[bytes, str]:
    """A packed bundle and its digest, made once a process."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "bundle"
        source.mkdir()
        document = specification(steps, pace, every, poll=0.5)
        (source / "relaymd-worker.json").write_text(json.dumps(document))
        packed = pack(source, Path(folder) / "bundle.tar.gz")
        return packed.path.read_bytes(), packed.digest
