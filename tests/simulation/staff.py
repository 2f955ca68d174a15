"""The workers of a simulation: real ones, started in processes that die as fate wants."""

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from relaymd.bus.memory import MemoryBus
from relaymd.core.ids import AllocationId, InstanceId, WorkerId, token
from relaymd.storage.unpacking import unpack
from relaymd.worker import files, snapshot
from relaymd.worker.session import UnwantedError
from relaymd.worker.tools import Identity, Pace, Tools
from relaymd.worker.worker import Worker
from tests.simulation.engine import Launcher
from tests.simulation.process import WORLD, Process

if TYPE_CHECKING:
    from tests.simulation.world import World

P = ParamSpec("P")
T = TypeVar("T")

PACE = Pace(
    checkpoint_every=1.0,
    drain_longest=3.0,
    alone_longest=20.0,
    idle_longest=4.0,
    ask_wait=2.0,
    storage_longest=6.0,
    settle=0.2,
    leave_within=1.5,
    piece_every=60.0,
    publish_every=60.0,
    term_grace=1.0,
)

WRITERS: frozenset[object] = frozenset(
    {files.make_folders, files.write_durably, unpack, snapshot.take}
)
"""Work that a full disk fails."""


class NodeDisk:
    """An Offload that does it here and now, on a disk that may be full."""

    def __init__(self, rng: Random) -> None:
        self.full = 0.0
        """The share of writes that fail."""

        self._rng = rng

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.full and work in WRITERS and self._rng.random() < self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return work(*args, **kwargs)


@dataclass
class Hand:
    """One worker's process."""

    process: Process
    allocation: AllocationId
    party: str
    disk: NodeDisk
    worker: Worker | None = None


@dataclass
class Staff:
    """All worker processes that live."""

    world: "World"
    hands: dict[str, Hand] = field(default_factory=dict[str, Hand])
    starting: set[AllocationId] = field(default_factory=set[AllocationId])
    count: int = 0

    def of(self, allocation: AllocationId) -> list[Hand]:
        return [hand for hand in self.hands.values() if hand.allocation == allocation]

    def start(self, allocation: AllocationId, *, twin: bool = False) -> None:
        """A process that becomes a worker; like one that a provider starts."""
        self.starting.discard(allocation)
        self.count += 1
        party = f"w{self.count}"
        rng = self.world.random(party)
        hand = Hand(Process(party), allocation, party, NodeDisk(rng))
        self.hands[party] = hand
        self.world.story.note(f"{party} is started for {allocation}")
        hand.process.on_death.append(lambda: self._died(hand))
        known = next((one.party for one in self.of(allocation)), party) if twin else party
        main = self._work(hand, WorkerId(known), rng)
        task = self.world.loop.spawn(hand.process, main)
        task.add_done_callback(lambda task: self._ended(hand, task), context=WORLD)

    async def _work(self, hand: Hand, id: WorkerId, rng: Random) -> None:
        folder = self.world.folder / hand.party
        folder.mkdir()
        tools = self._tools(hand, id, rng, folder)
        await asyncio.sleep(rng.uniform(0.1, 0.5))
        hand.worker = Worker(tools)
        try:
            await hand.worker.run()
        except UnwantedError as exc:
            self.world.story.note(f"{hand.party} is not wanted: {exc}")
        self.world.story.note(f"{hand.party} has left")

    def _tools(self, hand: Hand, id: WorkerId, rng: Random, folder: Path) -> Tools:
        world = self.world
        me = Identity(
            worker=id,
            instance=InstanceId(token("i", rng.randbytes(8))),
            allocation=hand.allocation,
            slots=world.shape.slots,
        )
        return Tools(
            me=me,
            bus=world.recipe.worker_bus(MemoryBus(world.broker, hand.party)),
            store=world.recipe.worker_store(world.store),
            folder=folder,
            launch=Launcher(world.loop, rng),
            offload=hand.disk,
            wall=world.worker_wall,
            rng=rng,
            pace=PACE,
        )

    def _ended(self, hand: Hand, task: "asyncio.Task[None]") -> None:
        if (error := task.exception()) is not None:
            self.world.invariants.fail(f"the worker {hand.party} crashed: {error!r}")
        hand.process.kill()

    def _died(self, hand: Hand) -> None:
        world = self.world
        world.cut(hand.party)
        self.hands.pop(hand.party, None)
        world.story.note(f"{hand.party} is gone")
        delay = world.rng.uniform(0.0, 0.05)
        world.loop.call_later(delay, world.hint, WorkerId(hand.party), context=WORLD)
