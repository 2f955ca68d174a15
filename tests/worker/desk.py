"""The orchestrator's side of a worker's conversations, as small as it can be and still strict.

It knows one queue of jobs, checks epochs and generations as the ledger would, and writes down
everything it was told.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from relaymd.bus import contract
from relaymd.bus.bus import Bus, RefusedError
from relaymd.bus.messages import (
    AskForWork,
    Assignment,
    CheckpointReport,
    Done,
    Heartbeat,
    HeartbeatAck,
    LeaseAnswer,
    NoWork,
    RefusalCode,
    Register,
    Registered,
    Standing,
    WorkAnswer,
)
from relaymd.bus.subjects import Binding
from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import Epoch, JobId
from relaymd.core.job import Bundle

LAST_WORDS = ("Complete", "Fail", "Handoff", "CancelReport")


class Desk:
    def __init__(self, bus: Bus, *, heartbeat_every: float = 0.05) -> None:
        self.bus = bus
        self.terms = Registered(heartbeat_every=heartbeat_every, time_to_live=5.0)
        self.queue: list[tuple[JobId, Bundle]] = []
        self.epochs: dict[JobId, Epoch] = {}
        """The live or latest lease of each job."""

        self.over: set[tuple[JobId, Epoch]] = set()
        """Leases that ended."""

        self.committed: dict[JobId, list[Checkpoint]] = {}
        self.heard: list[Any] = []
        """All messages, oldest first."""

        self.ack = HeartbeatAck()
        self.cancelled: set[JobId] = set()
        self.away = False
        """Whether nobody answers: every request is refused as unavailable."""

        self.slots: tuple[int, ...] = ()
        """What an assignment says of them."""

        self.leave = False
        self.patient = True
        """Whether a question for work waits as long as it wants to."""

        self.refused = 0
        self.register: Callable[[Register], Registered] = lambda _: self.terms
        self._waiting: list[asyncio.Future[WorkAnswer]] = []
        self._changed = asyncio.Event()

    # -- what a test does -------------------------------------------------------------------

    def submit(self, job: JobId, bundle: Bundle) -> None:
        self.queue.append((job, bundle))
        self._deal()

    def next_epoch(self, job: JobId) -> Epoch:
        return Epoch(self.epochs.get(job, 0) + 1)

    def revoke(self, job: JobId) -> None:
        """End the job's lease without asking its worker."""
        self.over.add((job, self.epochs[job]))

    def said(self, kind: str) -> list[Any]:
        return [message for message in self.heard if type(message).__name__ == kind]

    async def until(self, condition: Callable[[], Any], within: float = 15.0) -> Any:
        """Wait for something that follows from what is said here."""
        async with asyncio.timeout(within):
            while not (found := condition()):
                self._changed.clear()
                await self._changed.wait()
        return found

    async def until_said(self, kind: str, count: int = 1, within: float = 15.0) -> Any:
        await self.until(lambda: len(self.said(kind)) >= count, within)
        return self.said(kind)[count - 1]

    async def until_refused(self, count: int) -> None:
        """Wait until so many more messages met nobody."""
        before = self.refused
        await self.until(lambda: self.refused >= before + count)

    # -- what a worker meets ----------------------------------------------------------------

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["Desk"]:
        async with (
            self.bus.serve("desk", *self._bindings()) as inbox,
            asyncio.TaskGroup() as turns,
        ):

            async def serve() -> None:
                while True:
                    turns.create_task((await inbox.get()).handle())

            server = turns.create_task(serve())
            yield self
            server.cancel()
            for answer in self._waiting:
                if not answer.done():
                    answer.set_result(WorkAnswer(work=NoWork()))

    def _bindings(self) -> list[Binding]:
        lease = (
            *(contract.START, contract.LAUNCHED, contract.CHECKPOINT_MISSED, contract.DRAINING),
            *(contract.COMPLETE, contract.FAIL, contract.HANDOFF, contract.CANCELLED),
        )
        return [
            contract.REGISTER.answered_by(self._register),
            contract.HEARTBEAT.answered_by(self._heartbeat),
            contract.WORK.answered_by(self._work),
            contract.CHECKPOINT.answered_by(self._checkpoint),
            contract.WORKER_DRAINS.answered_by(self._done),
            contract.LEAVE.answered_by(self._done),
            *(request.answered_by(self._lease) for request in lease),
        ]

    def _note(self, message: msgspec.Struct) -> None:
        if self.away:
            self.refused += 1
            self._changed.set()
            raise RefusedError.because(RefusalCode.UNAVAILABLE, "out for lunch")
        self.heard.append(message)
        self._changed.set()

    def _register(self, message: Register) -> Registered:
        self._note(message)
        return self.register(message)

    def _heartbeat(self, message: Heartbeat) -> HeartbeatAck:
        self._note(message)
        return self.ack

    def _done(self, message: Any) -> Done:
        self._note(message)
        return Done()

    def _work(self, message: AskForWork) -> asyncio.Future[WorkAnswer]:
        self._note(message)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[WorkAnswer] = loop.create_future()
        self._waiting.append(answer)
        loop.call_later(message.wait if self.patient else 0, self._give_up, answer)
        self._deal()
        return answer

    def _give_up(self, answer: asyncio.Future[WorkAnswer]) -> None:
        if not answer.done():
            answer.set_result(WorkAnswer(work=NoWork(leave=self.leave)))

    def _deal(self) -> None:
        self._waiting = [answer for answer in self._waiting if not answer.done()]
        while self.queue and self._waiting:
            job, bundle = self.queue.pop(0)
            epoch = self.epochs[job] = self.next_epoch(job)
            work = Assignment(
                job=job,
                epoch=epoch,
                title=job,
                bundle=bundle,
                checkpoints=tuple(self.committed.get(job, ())),
                slots=self.slots,
            )
            self._waiting.pop(0).set_result(WorkAnswer(work=work))

    def _standing(self, job: JobId, epoch: Epoch) -> Standing:
        if self.epochs.get(job) != epoch or (job, epoch) in self.over:
            return Standing.SUPERSEDED
        return Standing.CANCELLED if job in self.cancelled else Standing.ACCEPTED

    def _lease(self, message: Any) -> LeaseAnswer:
        self._note(message)
        standing = self._standing(message.job, message.epoch)
        if type(message).__name__ in LAST_WORDS:
            self.over.add((message.job, message.epoch))
        return LeaseAnswer(standing=standing)

    def _checkpoint(self, message: CheckpointReport) -> LeaseAnswer:
        self._note(message)
        checkpoint = message.checkpoint
        standing = self._standing(message.job, checkpoint.epoch)
        if standing is Standing.SUPERSEDED:
            return LeaseAnswer(standing=standing)
        kept = self.committed.setdefault(message.job, [])
        if checkpoint not in kept:
            newest = kept[-1].generation if kept else 0
            if checkpoint.generation != newest + 1:
                reason = f"generation {checkpoint.generation} after {newest}"
                raise RefusedError.because(RefusalCode.CONFLICT, reason)
            kept.append(checkpoint)
        return LeaseAnswer(standing=standing)
