"""The workers of a simulation: real ones, started in processes that die as fate wants."""

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from relaymd.bus.memory import MemoryBus
from relaymd.core.ids import AllocationId, InstanceId, WorkerId, token
from relaymd.storage.unpacking import unpack
from relaymd.worker import files, home, snapshot
from relaymd.worker.session import UnwantedError
from relaymd.worker.tools import Identity, Pace, Tools
from relaymd.worker.worker import Worker
from tests.simulation.drive import Drive
from tests.simulation.engine import Launcher
from tests.simulation.letters import Letters, WitnessBus
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

    def __init__(self, rng: Random, drive: Drive, letters: Letters) -> None:
        self.full = 0.0
        """The share of writes that fail."""

        self.keeps = asyncio.Event()
        """Set when a last word was written down."""

        self._rng = rng
        self._drive = drive
        self._letters = letters

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        letter = _letter(work, args)
        if self.full and work in WRITERS and self._rng.random() < self.full:
            if letter:
                self._letters.refused(letter)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = cast(T, self._drive.do(work, *args, **kwargs))
        if letter and work is files.write_durably:
            self.keeps.set()
        elif letter:
            self._letters.struck(letter)
        return done


def _letter(work: object, args: tuple[object, ...]) -> Path | None:
    """The letter in an outbox that the work writes or strikes out, if it does."""
    path = args[0] if work is files.write_durably else getattr(work, "__self__", None)
    return path if isinstance(path, Path) and path.parent.name == "outbox" else None


@dataclass
class Hand:
    """One worker's process."""

    process: Process
    allocation: AllocationId
    party: str
    id: WorkerId
    folder: Path
    """Its own, which may have been that of a process before it."""

    disk: NodeDisk
    worker: Worker | None = None

    @property
    def outbox(self) -> Path:
        return self.folder / "outbox"


@dataclass
class Staff:
    """All worker processes that live."""

    world: "World"
    hands: dict[str, Hand] = field(default_factory=dict[str, Hand])
    starting: set[AllocationId] = field(default_factory=set[AllocationId])
    gone: set[AllocationId] = field(default_factory=set[AllocationId])
    """Allocations that were seen to have ended: nothing is started in them any more."""

    count: int = 0
    left_behind: list[Path] = field(default_factory=list[Path])
    """Folders of dead workers that no other has adopted yet."""

    def of(self, allocation: AllocationId) -> list[Hand]:
        return [hand for hand in self.hands.values() if hand.allocation == allocation]

    def start(self, allocation: AllocationId, *, twin: bool = False) -> None:
        """A process that becomes a worker; like one that a provider starts."""
        self.starting.discard(allocation)
        party = self._next_party()
        known = next((one.party for one in self.of(allocation)), party) if twin else party
        self._start(allocation, party, WorkerId(known), self.world.nodes / party)

    def start_again(self, hand: Hand) -> None:
        """A process in the place of one that has died: the same worker, in the same folder."""
        if hand.folder in self.left_behind and hand.allocation not in self.gone:
            self.left_behind.remove(hand.folder)
            self._start(hand.allocation, self._next_party(), hand.id, hand.folder)

    def _next_party(self) -> str:
        self.count += 1
        return f"w{self.count}"

    def _start(self, allocation: AllocationId, party: str, id: WorkerId, folder: Path) -> None:
        world = self.world
        rng = world.random(party)
        disk = NodeDisk(rng, world.drive, world.letters)
        hand = Hand(Process(party), allocation, party, id, folder, disk)
        self.hands[party] = hand
        world.story.note(f"{party} is started for {allocation}")
        hand.process.on_death.append(lambda: self._died(hand))
        task = world.loop.spawn(hand.process, self._work(hand, rng))
        task.add_done_callback(lambda task: self._ended(hand, task), context=WORLD)

    async def _work(self, hand: Hand, rng: Random) -> None:
        world = self.world
        tools = self._tools(hand, rng)
        await asyncio.sleep(rng.uniform(0.1, 0.5))
        self._move_in(hand, rng)
        hand.worker = Worker(tools)
        try:
            if await hand.worker.run():
                world.letters.left(hand.party, hand.outbox)
        except UnwantedError as exc:
            world.story.note(f"{hand.party} is not wanted: {exc}")
        world.story.note(f"{hand.party} has left")

    def _move_in(self, hand: Hand, rng: Random) -> None:
        """As `home` does: remove the leases of the dead, take over what they could not say.

        Some of the dead were of another host, and nobody comes there any more.
        """
        drive = self.world.drive
        neighbours = [folder for folder in self.left_behind if rng.random() < 0.5]
        for folder in neighbours:
            self.left_behind.remove(folder)
            for letter in drive.names(folder / "outbox"):
                drive.do(Path.mkdir, hand.outbox, parents=True, exist_ok=True)
                drive.rename(folder / "outbox" / letter, hand.outbox / letter)
        for folder in (*neighbours, hand.folder):
            for name in drive.names(folder):
                if home.LEASE.fullmatch(name):
                    drive.remove(folder / name)

    def _tools(self, hand: Hand, rng: Random) -> Tools:
        world = self.world
        me = Identity(
            worker=hand.id,
            instance=InstanceId(token("i", rng.randbytes(8))),
            allocation=hand.allocation,
            slots=world.shape.slots,
        )
        return Tools(
            me=me,
            bus=world.recipe.worker_bus(
                WitnessBus(MemoryBus(world.broker, hand.party), world.letters)
            ),
            store=world.recipe.worker_store(world.store),
            folder=hand.folder,
            launch=Launcher(world.loop, rng, world.drive),
            offload=world.recipe.offload(hand.disk),
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
        self.left_behind.append(hand.folder)
        world.story.note(f"{hand.party} is gone")
        delay = world.rng.uniform(0.0, 0.05)
        world.loop.call_later(delay, world.hint, WorkerId(hand.party), context=WORLD)
