"""Gives waiting jobs to idle slots."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import structlog

from relaymd.actors.actor import Actor
from relaymd.actors.asks import Ask, Asks, lease_of
from relaymd.actors.bell import Bell
from relaymd.actors.endings import interrupt
from relaymd.actors.ledger import Ledger
from relaymd.actors.openings import open_seats, shy
from relaymd.actors.presence import Presence
from relaymd.actors.refusals import refusal
from relaymd.bus import contract
from relaymd.bus.bus import Bus, RefusedError
from relaymd.bus.messages import AskForWork, Assignment, RefusalCode, WorkAnswer
from relaymd.bus.subjects import Binding
from relaymd.core.avoiding import Avoided
from relaymd.core.events import Assigned
from relaymd.core.ids import Epoch, JobId
from relaymd.core.job import Job, JobState
from relaymd.core.lease import Lease
from relaymd.core.resources import ProviderKind, Seat
from relaymd.core.scheduling import Assign, assign
from relaymd.core.worker import Worker

log = structlog.get_logger(__name__)


class Scheduler(Actor):
    """An ask stays open until the tick has a job for its slot, or its wait is over.

    The slot is what is idle or not: a slot with a live lease gets no second one, whatever it
    says of itself.
    """

    name: ClassVar[str] = "scheduler"
    every: ClassVar[float] = 1.0

    def __init__(
        self,
        bus: Bus,
        ledger: Ledger,
        presence: Presence,
        asks: Asks,
        *,
        jitter: Callable[[], float],
    ) -> None:
        super().__init__(bus)
        self._ledger = ledger
        self._presence = presence
        self._asks = asks
        self._jitter = jitter

    def bindings(self) -> Iterable[Binding]:
        yield contract.WORK.answered_by(self.work)

    def bells(self) -> Iterable[Bell]:
        yield self._ledger.queued

    async def start(self) -> None:
        self._asks.clear()

    def work(self, message: AskForWork) -> asyncio.Future[WorkAnswer]:
        worker = self._ledger.workers.get(message.worker)
        if worker is None or worker.instance != message.instance:
            raise _unregistered(message)
        if not 0 <= message.slot < worker.slots:
            text = f"worker {worker.id} has no slot {message.slot}"
            raise RefusedError.because(RefusalCode.INVALID, text)
        self._presence.hear(worker.id)
        seat = self._ledger.seats_of(worker.id)[message.slot]
        # A NaN compares false with everything and ends as the shortest wait.
        wait = min(message.wait, contract.LONGEST_WAIT) if message.wait > 0 else 0.0
        ask = self._asks.put(seat, message.instance, wait)
        job = lease_of(self._ledger, seat)
        if job is not None and job.state is JobState.ASSIGNED and _asked_for(job, seat):
            # The answer that said so was lost; the slot is still meant.
            self._hand_out(self._asks.take(seat), self._ledger.settled(job))
        else:
            self.soon()
        return ask.answer

    async def tick(self) -> None:
        if self._ledger.broken:
            return
        for ask in self._asks:
            self._look_after(ask)
        self._ledger.backlog.wake(self._ledger.wall())
        lines = self._ledger.backlog.lines()
        idle = self._asks.idle() if lines else []
        avoid: Mapping[JobId, Avoided] = shy(self._ledger) if idle else {}
        wide = any(need.gpus > 1 for need in lines)
        seats = open_seats(self._ledger) if idle and (wide or avoid) else ()
        for step in assign(lines, idle, seats, avoid):
            self._grant(step)

    def _look_after(self, ask: Ask) -> None:
        """Answer those who can get nothing, and end the lease that an asking slot has lost."""
        worker = self._ledger.workers.get(ask.seat.worker)
        if worker is None or worker.instance != ask.instance:
            self._asks.remove(ask)
            ask.refuse(_unregistered(ask.seat))
        elif worker.leaving:
            self._asks.remove(ask)
            ask.nothing(leave=True)
        elif (job := lease_of(self._ledger, ask.seat)) is not None:
            self._end_if_lost(ask, job)
        elif self._is_better_elsewhere(worker):
            self._asks.remove(ask)
            ask.nothing(leave=True)

    def _is_better_elsewhere(self, worker: Worker) -> bool:
        """Whether it keeps an allocation that another node would use better.

        Only where leaving brings another node, and nothing that runs would be disturbed.
        """
        return (
            worker.provider is ProviderKind.SLURM
            and not self._ledger.held_by(worker.id)
            and self._ledger.quarantine(worker) is not None
        )

    def _end_if_lost(self, ask: Ask, job: Job) -> None:
        """A slot that asks and a heartbeat after it that does not list the lease: it is lost.

        The ask alone is no proof. A report may be on its way, and then the lease is listed.
        """
        assert job.lease is not None
        epoch = job.lease.epoch
        if self._presence.has_lost(ask.seat.worker, job.id, epoch, since=ask.since):
            interrupt(
                self._ledger,
                job,
                f"worker {ask.seat.worker} asked for other work and no longer has this job",
                jitter=self._jitter,
            )

    def _grant(self, step: Assign) -> None:
        job = self._ledger.jobs[step.job]
        lease = Lease(
            epoch=Epoch(job.epoch + 1),
            worker=step.seat.worker,
            slot=step.seat.slot,
            cluster=step.seat.cluster,
            granted_at=self._ledger.wall(),
            also=step.seat.also,
        )
        ask = self._asks.take(step.seat)
        self._hand_out(ask, self._ledger.record(job.id, Assigned(lease=lease)))
        log.debug("job.assigned", job=job.id, worker=lease.worker, epoch=lease.epoch)

    def _hand_out(self, ask: Ask, granted: asyncio.Future[Job]) -> None:
        """Answer once the lease is on disk."""

        def tell(done: asyncio.Future[Job]) -> None:
            if done.cancelled():
                ask.nothing()
            elif (error := done.exception()) is not None:
                ask.refuse(refusal(error))
            else:
                ask.reply(WorkAnswer(work=_assignment(done.result())))

        granted.add_done_callback(tell)


def _assignment(job: Job) -> Assignment:
    assert job.lease is not None
    return Assignment(
        job=job.id,
        epoch=job.lease.epoch,
        title=job.title,
        bundle=job.bundle,
        checkpoints=job.checkpoints,
        slots=job.lease.slots if job.lease.also else (),
    )


def _asked_for(job: Job, seat: Seat) -> bool:
    """Whether the lease was granted to this slot, and not to it as one of several."""
    return job.lease is not None and job.lease.slot == seat.slot


def _unregistered(who: object) -> RefusedError:
    text = f"worker {getattr(who, 'worker', '?')} is not registered"
    return RefusedError.because(RefusalCode.UNKNOWN_WORKER, text)
