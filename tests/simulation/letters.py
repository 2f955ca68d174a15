"""The last words of workers: on disk before they are said, struck out when somebody has answered.

What a worker was told is what arrived at it, so its bus has a witness; what lies in its outbox is
what its disk did, so that has one, too.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from relaymd.bus import contract
from relaymd.bus.broker import Parcel
from relaymd.bus.bus import Bus, RefusedError
from relaymd.bus.messages import LeaseAnswer, Standing
from relaymd.bus.subjects import Rep, Req, Request
from relaymd.core import events as e
from relaymd.core.ids import Epoch, JobId
from relaymd.worker.place import name_of
from relaymd.worker.speech import PASSING
from tests.simulation.wrapped import WrappedBus

if TYPE_CHECKING:
    from tests.simulation.world import World

LAST = (contract.COMPLETE, contract.FAIL, contract.HANDOFF, contract.CANCELLED)
LAST_WORDS = frozenset(row.template.rpartition(".")[2] for row in LAST)


class Letters:
    """Checks what an outbox promises. Every method may end the run."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._unwritten: set[Path] = set()
        """Outboxes on disks that refused a letter: then it is said all the same."""

        self._answered: set[str] = set()
        """Leases whose last word was answered for good, as letters are called."""

        self._completed: set[tuple[JobId, Epoch]] = set()
        self._committed: set[tuple[JobId, Epoch, int]] = set()

    # -- on disk ------------------------------------------------------------------------------

    def refused(self, letter: Path) -> None:
        self._unwritten.add(letter.parent)

    def struck(self, letter: Path) -> None:
        if letter.name.removesuffix(".json") not in self._answered:
            self._fail(f"the last word of {letter.stem} was struck out, and nobody has answered it")

    def said(self, parcel: Parcel, job: JobId, epoch: Epoch) -> None:
        """A worker sends a last word."""
        hand = self._world.staff.hands.get(parcel.sender)
        if hand is None or hand.outbox in self._unwritten:
            return
        name = name_of(job, epoch)
        if f"{name}.json" not in self._world.drive.names(hand.outbox):
            self._fail(f"{parcel.sender} says its last word of {name}, which is not on its disk")

    def left(self, party: str, outbox: Path) -> None:
        """A worker has ended and believes to have said everything."""
        if unsaid := self._world.drive.names(outbox):
            self._fail(f"{party} has left, and {unsaid} was never said")

    # -- answers ------------------------------------------------------------------------------

    def refused_for_good(self, request: Request[Any, Any], message: Any) -> None:
        if request in LAST:
            self._answered.add(name_of(message.job, message.epoch))

    def answered(self, request: Request[Any, Any], message: Any, standing: Standing) -> None:
        if request not in (*LAST, contract.CHECKPOINT):
            return
        new = message.checkpoint if request is contract.CHECKPOINT else None
        job, epoch = message.job, new.epoch if new else message.epoch
        if new is None or standing is Standing.SUPERSEDED:
            self._answered.add(name_of(job, epoch))
        if standing is Standing.ACCEPTED and not self._is_on_disk(request, message):
            self._fail(f"{message} was accepted and is not on disk")
        if new is None and standing is not Standing.SUPERSEDED and self._lives(job, epoch):
            self._fail(f"the end of lease {epoch} of {job} was accepted and is not on disk")

    def _is_on_disk(self, request: Request[Any, Any], message: Any) -> bool:
        if request is contract.CHECKPOINT:
            new = message.checkpoint
            return (message.job, new.epoch, new.generation) in self._committed
        return request is not contract.COMPLETE or (message.job, message.epoch) in self._completed

    def _lives(self, job: JobId, epoch: Epoch) -> bool:
        lease = self._world.disk.jobs[job].lease
        return lease is not None and lease.epoch == epoch

    def landed(self, job: JobId, event: object) -> None:
        """An event of a job is on disk."""
        if isinstance(event, e.Completed):
            self._completed.add((job, event.epoch))
        if isinstance(event, e.Checkpointed):
            self._committed.add((job, event.epoch, event.checkpoint.generation))

    def _fail(self, text: str) -> None:
        self._world.invariants.fail(text)


class WitnessBus(WrappedBus):
    """A worker's Bus as it is; what is answered to the worker is noted."""

    def __init__(self, bus: Bus, letters: Letters) -> None:
        super().__init__(bus)
        self._letters = letters

    async def ask(
        self, request: Request[Req, Rep], message: Req, *, within: float | None = None
    ) -> Rep:
        try:
            answer = await self.bus.ask(request, message, within=within)
        except RefusedError as exc:
            if exc.refusal.error not in PASSING:
                self._letters.refused_for_good(request, message)
            raise
        if isinstance(answer, LeaseAnswer):
            self._letters.answered(request, message, answer.standing)
        return answer
