"""Everything a run of the simulation consists of: real control plane, real workers, model world."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from relaymd.actors.actor import Actor
from relaymd.actors.ledger import Ledger
from relaymd.actors.orchestrator import World as Parts
from relaymd.actors.orchestrator import orchestrator
from relaymd.actors.presence import Presence
from relaymd.actors.supervisor import Supervisor
from relaymd.bus.advisories import Disconnection
from relaymd.bus.broker import Broker
from relaymd.bus.memory import MemoryBus
from relaymd.core.ids import Monotonic, UnixTime, WorkerId
from relaymd.core.reaping import LivenessPolicy
from relaymd.core.restarts import RestartPolicy
from tests.simulation.disk import ModelDisk
from tests.simulation.drive import Drive, ModelDrive, RealDrive
from tests.simulation.invariants import Invariants
from tests.simulation.journal import ModelJournal
from tests.simulation.letters import Letters
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network
from tests.simulation.process import WORLD, Process
from tests.simulation.provider import ModelProvider
from tests.simulation.recipe import SOUND, Recipe
from tests.simulation.staff import Staff
from tests.simulation.store import ModelStore
from tests.simulation.story import Story

POLICY = LivenessPolicy(
    heartbeat_every=1.0,
    time_to_live=4.0,
    margin=1.0,
    disconnect_grace=0.5,
    hang_up_grace=0.25,
    confirm_within=2.0,
)
RESTARTS = RestartPolicy(intensity=3, period=30.0, backoff=0.1)
EPOCH = 1_800_000_000.0


@dataclass(frozen=True)
class Shape:
    """How large a run is."""

    jobs: int = 5
    workers: int = 4
    faults: int = 6
    slots: int = 1
    within: float = 15.0
    """Virtual seconds during which faults begin."""


class World:
    """The processes, and what lies between them."""

    def __init__(
        self,
        loop: VirtualLoop,
        seed: int,
        shape: Shape,
        recipe: Recipe = SOUND,
        *,
        real_files: Path | None = None,
    ) -> None:
        """real_files: a folder for those of the nodes; None: they lie in memory."""
        self.loop, self.seed = loop, seed
        model = ModelDrive()
        self.drive: Drive = RealDrive() if real_files else model
        self.nodes = real_files or model.root
        """A folder with a folder for each worker, on the drive."""

        self.shape, self.recipe, self.policy = shape, recipe, POLICY
        self.rng = self.random("fate")
        self.story = Story()
        self.store = ModelStore(self.random("store"), self.drive)
        self.letters = Letters(self)
        self.invariants = Invariants(self)
        self.network = Network(self.random("network"), self.story, self.invariants.hear)
        self.broker = Broker(self.network)
        self.journal = ModelJournal(self.random("journal"), self.invariants.watch_stream)
        self.disk = ModelDisk(self.random("disk"), self.invariants.watch)
        self.provider = ModelProvider(self, self.random("provider"))
        self.staff = Staff(self)
        self.skew = 0.0
        """Seconds by which the orchestrator's wall clock is off."""

        self.worker_skew = 0.0
        self.orchestrator: Process | None = None
        self.supervisor: Supervisor | None = None
        self.actors: dict[str, Actor] = {}
        self.presence: Presence | None = None
        self.crashes = 0
        """Of actors, injected; any other crash is a defect."""

        self._hints: list[asyncio.Queue[Disconnection]] = []
        self._lives = 0

    def random(self, name: str) -> Random:
        """Randomness of one part's own, so that another part's does not disturb it."""
        return Random(f"{self.seed}/{name}")

    def wall(self) -> UnixTime:
        return UnixTime(EPOCH + self.loop.time() + self.skew)

    def worker_wall(self) -> UnixTime:
        return UnixTime(EPOCH + self.loop.time() + self.worker_skew)

    # -- the orchestrator ---------------------------------------------------------------------

    def start_orchestrator(self) -> None:
        """Nothing happens while one lives: the ledger's lock lets no second one in."""
        if self.orchestrator is not None and self.orchestrator.alive:
            return
        self._lives += 1
        process = self.orchestrator = Process(f"orchestrator{self._lives}")
        process.on_death.append(lambda: self.cut(process.name))
        process.on_death.append(self.check_crashes)
        task = self.loop.spawn(process, self._orchestrate(process.name))
        task.add_done_callback(lambda task: self._ended(process, task), context=WORLD)

    def _ended(self, process: Process, task: asyncio.Task[Any]) -> None:
        """It has given up by itself; whoever watches it starts another."""
        error = task.exception()
        if not self.crashes:
            self.invariants.fail(f"the orchestrator gave up: {error!r}")
        process.kill()
        self.loop.call_later(0.5, self.start_orchestrator, context=WORLD)

    async def _orchestrate(self, party: str) -> None:
        rng = self.random(party)
        presence = Presence(clock=lambda: Monotonic(self.loop.time()))
        async with Ledger.open(self.disk, wall=self.wall) as ledger:
            bus = self.recipe.bus(MemoryBus(self.broker, party), ledger)
            parts = Parts(
                bus=bus,
                journal=self.journal,
                ledger=ledger,
                presence=presence,
                providers=[self.recipe.provider(self.provider)],
                rng=rng,
                policy=POLICY,
                restarts=RESTARTS,
                hints=self._listen_to_hints,
                reachable=lambda: not self.network.down,
                recast=lambda name, make: self._cast(name, self.recipe.recast(parts, name, make)),
            )
            self.presence = presence
            self.supervisor = orchestrator(parts)
            await self.supervisor.run()

    def _cast(self, name: str, make: Callable[[], Actor]) -> Callable[[], Actor]:
        """The actor as it is, known to fate."""

        def made() -> Actor:
            self.actors[name] = actor = make()
            return actor

        return made

    def check_crashes(self) -> None:
        """No actor ends but by a crash that was injected, whatever it is told."""
        if self.supervisor is None:
            return
        for actor in self.supervisor.health():
            if actor.restarts and "InjectedError" not in actor.last_error:
                self.invariants.fail(f"the actor {actor.name} crashed: {actor.last_error}")

    def reconnected(self) -> None:
        """The server is back: what the orchestrator's client tells it."""
        if self.presence is not None and self.orchestrator and self.orchestrator.alive:
            self.presence.reset()

    # -- connections --------------------------------------------------------------------------

    def cut(self, party: str) -> None:
        self.network.cut.add(party)
        self.broker.drop(party)

    def hint(self, worker: WorkerId) -> None:
        """The server tells of a closed connection, if nothing gets lost."""
        if self.rng.random() < 0.7:
            for queue in self._hints:
                queue.put_nowait(Disconnection(name=worker, reason="Client Closed"))

    async def _listen_to_hints(self) -> AsyncIterator[Disconnection]:
        queue: asyncio.Queue[Disconnection] = asyncio.Queue()
        self._hints = [queue]
        while True:
            yield await queue.get()


class InjectedError(Exception):
    """A crash that fate wants."""


def crash(actor: Actor) -> None:
    """Raise within one actor, beside its turns; nothing happens where it does not run."""

    async def boom() -> None:
        raise InjectedError(actor.name)

    work = boom()
    try:
        actor.later(work)
    except (AssertionError, RuntimeError):
        work.close()
