"""Everything a run of the simulation consists of: real control plane, real workers, model world."""

import asyncio
import msgspec
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from relaymd.actors.ledger import Ledger
from relaymd.actors.orchestrator import World as Parts
from relaymd.actors.orchestrator import orchestrator
from relaymd.actors.presence import Presence
from relaymd.actors.providers.provider import Sighting
from relaymd.bus.broker import Broker
from relaymd.bus.memory import MemoryBus
from relaymd.bus.memory_journal import MemoryJournal
from relaymd.core.ids import AllocationId, InstanceId, Monotonic, UnixTime, WorkerId, token
from relaymd.core.provisioning import Allocation, Offer
from relaymd.core.reaping import Evidence, LivenessPolicy
from relaymd.core.resources import ProviderKind, Seat
from relaymd.core.restarts import RestartPolicy
from relaymd.worker.session import UnwantedError
from relaymd.worker.tools import Identity, Pace, Tools
from relaymd.worker.worker import Worker
from tests.simulation.disk import ModelDisk
from tests.simulation.engine import Launcher
from tests.simulation.invariants import Invariants
from tests.simulation.loop import WORLD, Process, VirtualLoop
from tests.simulation.network import Network
from tests.simulation.store import ModelStore
from tests.simulation.story import Story

POLICY = LivenessPolicy(
    heartbeat_every=2.0, time_to_live=8.0, margin=2.0, disconnect_grace=1.0, confirm_within=4.0
)
RESTARTS = RestartPolicy(intensity=3, period=60.0, backoff=0.1)
PACE = Pace(
    checkpoint_every=2.0,
    drain_longest=6.0,
    alone_longest=40.0,
    idle_longest=30.0,
    ask_wait=10.0,
    storage_longest=20.0,
    settle=0.2,
    leave_within=3.0,
    piece_every=60.0,
    publish_every=60.0,
    term_grace=2.0,
)


async def inline(work, /, *args, **kwargs):
    """An Offload that does it here and now."""
    return work(*args, **kwargs)


@dataclass
class RunningWorker:
    process: Process
    worker: Worker | None
    allocation: AllocationId
    party: str
    left: bool = False


class World:
    """The processes, and what lies between them."""

    def __init__(self, loop: VirtualLoop, seed: int, folder: Path, *, limit: int) -> None:
        def rng(name: str) -> Random:
            return Random(f"{seed}/{name}")

        self.loop = loop
        self.seed = seed
        self.rng = rng("fate")
        self.story = Story()
        self.network = Network(rng("network"), self.story)
        self.broker = Broker(self.network)
        self.journal = MemoryJournal()
        self.store = ModelStore(rng("store"))
        self.invariants = Invariants(self.store)
        self.disk = ModelDisk(rng("disk"), self.invariants.watch)
        self.folder = folder
        self.limit = limit
        self.skew = 0.0
        """Seconds by which the orchestrator's wall clock is off."""

        self.orchestrator: Process | None = None
        self.workers: dict[AllocationId, RunningWorker] = {}
        self.starting: set[AllocationId] = set()
        self.supervisor = None
        self.presence: Presence | None = None
        self._parts = rng("parts")
        self._hints: list[asyncio.Queue[WorkerId]] = []
        self._lives = 0

    # -- the orchestrator ---------------------------------------------------------------------

    def start_orchestrator(self) -> None:
        """Nothing happens while one lives: the ledger's lock lets no second one in."""
        if self.orchestrator is not None and self.orchestrator.alive:
            return
        self._lives += 1
        process = self.orchestrator = Process(f"orchestrator{self._lives}")
        party = process.name
        process.on_death.append(lambda: self._cut(party))
        self.loop.spawn(process, self._orchestrate(process, party))

    async def _orchestrate(self, process: Process, party: str) -> None:
        bus = MemoryBus(self.broker, party)
        presence = Presence(clock=lambda: Monotonic(self.loop.time()))
        async with Ledger.open(self.disk, wall=self.wall) as ledger:
            parts = Parts(
                bus=bus,
                journal=self.journal,
                ledger=ledger,
                presence=presence,
                providers=[ModelProvider(self)],
                rng=Random(self._parts.random()),
                policy=POLICY,
                restarts=RESTARTS,
                hints=self._listen_to_hints,
            )
            self.presence = presence
            self.supervisor = orchestrator(parts)
            await self.supervisor.run()

    def reconnected(self) -> None:
        """The server is back: what the orchestrator's client tells it."""
        if self.presence is not None and self.orchestrator and self.orchestrator.alive:
            self.presence.reset()

    def wall(self) -> UnixTime:
        return UnixTime(1_800_000_000.0 + self.loop.time() + self.skew)

    async def _listen_to_hints(self) -> AsyncIterator[WorkerId]:
        queue: asyncio.Queue[WorkerId] = asyncio.Queue()
        self._hints = [queue]
        while True:
            yield await queue.get()

    # -- workers ------------------------------------------------------------------------------

    def start_worker(self, allocation: AllocationId) -> None:
        """A process that becomes a worker; like one that a provider starts."""
        name = f"w{allocation.removeprefix('a')}"
        process = Process(name)
        self.story.note(f"{name} is started")
        running = RunningWorker(process, None, allocation, name)
        self.workers[allocation] = running
        self.starting.discard(allocation)
        process.on_death.append(lambda: self._worker_died(running))
        self.loop.spawn(process, self._work(running, WorkerId(name)))

    async def _work(self, running: RunningWorker, id: WorkerId) -> None:
        rng = Random(self._parts.random())
        folder = self.folder / id
        folder.mkdir()
        tools = Tools(
            me=Identity(
                worker=id,
                instance=InstanceId(token("i", rng.randbytes(8))),
                allocation=running.allocation,
            ),
            bus=MemoryBus(self.broker, running.party),
            store=self.store,
            folder=folder,
            launch=Launcher(self.loop, rng),
            offload=inline,
            wall=self.wall,
            rng=rng,
            pace=PACE,
        )
        await asyncio.sleep(rng.uniform(0.1, 1.0))
        running.worker = Worker(tools)
        try:
            await running.worker.run()
        except UnwantedError as exc:
            self.story.note(f"{id} is not wanted: {exc}")
        running.left = True
        self.story.note(f"{id} has left")
        self.loop.kill(running.process)

    def _worker_died(self, running: RunningWorker) -> None:
        self._cut(running.party)
        self.workers.pop(running.allocation, None)
        self.story.note(f"{running.party} is gone")
        delay = self.rng.uniform(0.0, 0.05)
        self.loop.call_later(delay, self._hint, WorkerId(running.party), context=WORLD)

    def _hint(self, worker: WorkerId) -> None:
        if self.rng.random() < 0.7:
            for queue in self._hints:
                queue.put_nowait(worker)

    def _cut(self, party: str) -> None:
        self.network.cut.add(party)
        self.broker.drop(party)


class ModelProvider:
    """Implements Provider: starts workers in the world, and is out of reach now and then."""

    def __init__(self, world: World) -> None:
        self._world = world

    def offer(self) -> Offer:
        seat = Seat(worker=WorkerId("w"), platforms=("CPU", "Reference"))
        return Offer(
            cluster="local", provider=ProviderKind.LOCAL, template=seat, limit=self._world.limit
        )

    async def submit(self, id: AllocationId) -> str:
        self._world.starting.add(id)
        delay = self._world.rng.uniform(0.0, 0.2)
        self._world.loop.call_later(delay, self._world.start_worker, id, context=WORLD)
        await asyncio.sleep(self._world.rng.uniform(0.0, 0.1))
        return "external"

    async def observe(self, allocations: Collection[Allocation]) -> Mapping[AllocationId, Sighting]:
        await asyncio.sleep(self._world.rng.uniform(0.0, 0.1))
        return {one.id: self._sight(one) for one in allocations}

    async def cancel(self, allocation: Allocation) -> None:
        running = self._world.workers.get(allocation.id)
        if running is not None and running.worker is not None:
            running.worker.drain("the allocation is withdrawn")
        elif running is not None:
            self._world.loop.kill(running.process)

    def _sight(self, allocation: Allocation) -> Sighting:
        if self._world.rng.random() < 0.2:
            return Sighting(evidence=Evidence.UNKNOWN)
        if allocation.id in self._world.workers:
            return Sighting(evidence=Evidence.ALIVE)
        if allocation.id in self._world.starting:
            return Sighting(evidence=Evidence.UNKNOWN)
        return Sighting(evidence=Evidence.GONE, reason="its process ended")
