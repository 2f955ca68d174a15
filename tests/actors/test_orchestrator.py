"""The whole, as its composition root makes it, and what outlives it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from relaymd.actors.database import open_database
from relaymd.actors.ledger import Ledger
from relaymd.actors.orchestrator import World, orchestrator
from relaymd.actors.presence import Presence
from relaymd.actors.serve import policy
from relaymd.bus.broker import Broker
from relaymd.bus.memory import MemoryBus
from relaymd.bus.memory_journal import MemoryJournal
from relaymd.bus.messages import Standing
from relaymd.config import Config
from relaymd.core.ids import InstanceId, WorkerId
from relaymd.core.job import JobState
from relaymd.core.reaping import LivenessPolicy
from relaymd.core.restarts import RestartPolicy
from tests.actors.cloud import Cloud
from tests.actors.office import Clock, turns, until
from tests.actors.peers import Operator, WorkerPeer


@asynccontextmanager
async def running(path: Path, broker: Broker, journal: MemoryJournal) -> AsyncGenerator[None]:
    clock = Clock()
    async with open_database(path) as disk, Ledger.open(disk, wall=clock.wall) as ledger:
        world = World(
            bus=MemoryBus(broker),
            journal=journal,
            ledger=ledger,
            presence=Presence(clock.monotonic),
            providers=[Cloud()],
            rng=Random(1),
            policy=LivenessPolicy(),
            restarts=RestartPolicy(),
        )
        async with asyncio.TaskGroup() as group:
            actors = group.create_task(orchestrator(world).run())
            await turns()
            try:
                yield
            finally:
                actors.cancel()


async def test_a_job_survives_any_number_of_orchestrators(tmp_path: Path) -> None:
    broker, journal = Broker(), MemoryJournal()
    operator = Operator(MemoryBus(broker))
    worker = WorkerPeer(MemoryBus(broker), WorkerId("w1"), InstanceId("i1"))
    async with running(tmp_path / "db", broker, journal):
        await worker.register()
        await operator.submit()
    async with running(tmp_path / "db", broker, journal):
        it = await worker.work()
    async with running(tmp_path / "db", broker, journal):
        assert await worker.start(it) is Standing.ACCEPTED
        assert await worker.checkpoint(it) is Standing.ACCEPTED
    async with running(tmp_path / "db", broker, journal):
        assert await worker.checkpoint(it, 2) is Standing.ACCEPTED
        assert await worker.complete(it) is Standing.ACCEPTED
    async with running(tmp_path / "db", broker, journal):
        job = await operator.show()
        assert (job.state, job.generation, job.epoch) == (JobState.COMPLETED, 2, 1)
        await until(lambda: len(journal.stored) >= 7)
        status = await operator.status()

    assert {one.name for one in status.actors} == {
        "registry", "scheduler", "reports", "desk", "reaper", "provisioner", "outbox",
    }  # fmt: skip
    kinds = [subject.rpartition(".")[2] for subject, _ in journal.stored if ".job." in subject]
    assert kinds == [
        "submitted", "assigned", "started", "checkpointed", "checkpointed", "completed",
    ]  # fmt: skip


def test_the_policy_is_the_configurations() -> None:
    assert policy(Config()) == LivenessPolicy()
    assert policy(Config(lease_confirm_seconds=1.0)).confirm_within == 1.0
