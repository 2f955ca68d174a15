"""An orchestrator in one process: a real file, all actors, a bus in memory, clocks set by hand."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from relaymd.actors.actor import Actor
from relaymd.actors.asks import Asks
from relaymd.actors.database import open_database
from relaymd.actors.desk import Desk
from relaymd.actors.disk import Disk
from relaymd.actors.ledger import Ledger
from relaymd.actors.outbox import Outbox
from relaymd.actors.presence import Presence
from relaymd.actors.providers.provider import Provider
from relaymd.actors.provisioner import Provisioner
from relaymd.actors.reaper import Reaper
from relaymd.actors.registry import Hints, Registry
from relaymd.actors.reports import Reports
from relaymd.actors.scheduler import Scheduler
from relaymd.actors.sightings import Sightings
from relaymd.actors.supervisor import Supervisor
from relaymd.actors.views import Views
from relaymd.bus.broker import Broker
from relaymd.bus.bus import Journal
from relaymd.bus.memory import MemoryBus
from relaymd.bus.memory_journal import MemoryJournal
from relaymd.core.ids import InstanceId, Monotonic, UnixTime, WorkerId
from relaymd.core.reaping import LivenessPolicy
from relaymd.core.restarts import RestartPolicy
from tests.actors.peers import Operator, WorkerPeer

POLICY = LivenessPolicy()
RESTARTS = RestartPolicy(intensity=5, period=60.0, backoff=0.001)


class Clock:
    """Both clocks, which go only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> Monotonic:
        return Monotonic(self.now)

    def wall(self) -> UnixTime:
        return UnixTime(1_700_000_000.0 + self.now)

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Parts:
    """What a test may bring of its own."""

    disk: Disk | None = None
    journal: Journal = field(default_factory=MemoryJournal)
    providers: Sequence[Provider] = ()
    hints: Hints | None = None
    restarts: RestartPolicy = RESTARTS
    policy: LivenessPolicy = POLICY
    clock: Clock = field(default_factory=Clock)
    broker: Broker = field(default_factory=Broker)
    reachable: Callable[[], bool] = lambda: True


class Office:
    """The actors of one orchestrator, each as its latest incarnation."""

    def __init__(self, parts: Parts, ledger: Ledger) -> None:
        self.parts = parts
        self.clock = parts.clock
        self.ledger = ledger
        self.presence = Presence(parts.clock.monotonic)
        self.sightings = Sightings()
        self.asks = Asks(ledger, self.presence)
        self.actors: dict[str, Actor] = {}
        self.bus = MemoryBus(parts.broker, "orchestrator")
        made = {name: self._remembered(name, make) for name, make in self._recipes().items()}
        self.supervisor = Supervisor(made, parts.restarts)
        self.operator = Operator(MemoryBus(parts.broker, "operator"))

    def worker(self, id: str = "w1", instance: str = "i1") -> WorkerPeer:
        bus = MemoryBus(self.parts.broker, id)
        return WorkerPeer(bus, WorkerId(id), InstanceId(instance))

    def tick(self, *names: str) -> None:
        """Let these actors look at once, as their clock would let them in a while."""
        for name in names or self.actors:
            self.actors[name].soon()

    async def crash(self, name: str) -> None:
        """End an actor by an error of its own, and wait for its successor."""
        before = self.actors[name]
        before.later(_defect())
        await until(lambda: self.actors[name] is not before)
        await turns()

    def _remembered(self, name: str, make: Callable[[], Actor]) -> Callable[[], Actor]:
        def remember() -> Actor:
            self.actors[name] = make()
            return self.actors[name]

        return remember

    def _recipes(self) -> dict[str, Callable[[], Actor]]:
        bus, ledger, presence, parts = self.bus, self.ledger, self.presence, self.parts
        views = Views(ledger, presence, self.asks, self.sightings, parts.policy)
        rng = Random(1)

        def jitter() -> float:
            return 0.0

        return {
            "registry": lambda: Registry(
                bus, ledger, presence, views, policy=parts.policy, jitter=jitter, hints=parts.hints
            ),
            "scheduler": lambda: Scheduler(bus, ledger, presence, self.asks, jitter=jitter),
            "reports": lambda: Reports(bus, ledger, presence, jitter=jitter),
            "desk": lambda: Desk(
                bus, ledger, views, started_at=ledger.wall(), health=self.supervisor.health
            ),
            "reaper": lambda: Reaper(
                bus,
                ledger,
                presence,
                self.sightings,
                policy=parts.policy,
                jitter=jitter,
                reachable=parts.reachable,
            ),
            "provisioner": lambda: Provisioner(
                bus, ledger, presence, self.sightings, parts.providers, entropy=rng.randbytes
            ),
            "outbox": lambda: Outbox(bus, ledger, parts.journal),
        }


@asynccontextmanager
async def opened(path: Path, parts: Parts | None = None) -> AsyncGenerator[Office]:
    """An orchestrator over this file until the block ends; then everything is on disk."""
    parts = parts or Parts()
    async with open_database(path) as tables:
        disk = parts.disk or tables
        async with Ledger.open(disk, wall=parts.clock.wall) as ledger, asyncio.TaskGroup() as group:
            office = Office(parts, ledger)
            running = group.create_task(office.supervisor.run())
            await turns()
            try:
                yield office
            finally:
                running.cancel()


async def _defect() -> None:
    raise ZeroDivisionError("a defect of ours")


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait for a condition to become true, which nothing announces."""
    deadline = asyncio.get_running_loop().time() + within
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.001)
