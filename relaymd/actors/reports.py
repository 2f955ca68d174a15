"""Takes what workers report of their leases."""

import asyncio
from collections.abc import Callable, Iterable
from typing import ClassVar, Protocol

import msgspec

from relaymd.actors.actor import Actor
from relaymd.actors.archive import UnknownJobError
from relaymd.actors.ledger import Ledger
from relaymd.actors.presence import Presence
from relaymd.actors.refusals import then
from relaymd.actors.texts import LONGEST, LONGEST_KEY, bounded
from relaymd.bus import contract
from relaymd.bus import messages as m
from relaymd.bus.bus import Bus, RefusedError
from relaymd.bus.subjects import Binding
from relaymd.core.checkpoint import Progress
from relaymd.core.events import (
    Cancelled,
    Checkpointed,
    CheckpointMissed,
    Completed,
    Draining,
    JobEvent,
    Launched,
    Started,
)
from relaymd.core.ids import Epoch, JobId, WorkerId
from relaymd.core.job import IllegalTransitionError, Job, JobState
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.retry import follow, follow_handoff

NOT_A_FAILURE = (Outcome.COMPLETED, Outcome.CANCELLED, Outcome.NO_PROGRESS)

Answer = asyncio.Future[m.LeaseAnswer]


class Report(Protocol):
    """What all reports say."""

    @property
    def worker(self) -> WorkerId: ...
    @property
    def job(self) -> JobId: ...


class Reports(Actor):
    """A report under the live lease is recorded; under any other it is superseded.

    The same report again is answered as before, and changes nothing: also when the lease has
    ended by that very report, whose answer was lost.
    """

    name: ClassVar[str] = "reports"

    def __init__(
        self, bus: Bus, ledger: Ledger, presence: Presence, *, jitter: Callable[[], float]
    ) -> None:
        super().__init__(bus)
        self._ledger = ledger
        self._presence = presence
        self._jitter = jitter

    def bindings(self) -> Iterable[Binding]:
        yield contract.START.answered_by(self.start_job)
        yield contract.LAUNCHED.answered_by(self.launched)
        yield contract.CHECKPOINT.answered_by(self.checkpoint)
        yield contract.CHECKPOINT_MISSED.answered_by(self.missed)
        yield contract.DRAINING.answered_by(self.draining)
        yield contract.COMPLETE.answered_by(self.complete)
        yield contract.FAIL.answered_by(self.fail)
        yield contract.HANDOFF.answered_by(self.handoff)
        yield contract.CANCELLED.answered_by(self.cancelled)

    def start_job(self, message: m.Start) -> Answer:
        # Taking any report implies the start; see `_take`.
        return self._take(message, message.epoch, lambda job: None)

    def launched(self, message: m.LaunchReport) -> Answer:
        event = Launched(
            epoch=message.epoch,
            restored=message.restored,
            progress=message.progress,
            note=bounded(message.note),
        )

        def decide(job: Job) -> JobEvent | None:
            known = job.lease is not None and job.lease.launched
            return None if known else event

        return self._take(message, message.epoch, decide, progress=message.progress)

    def checkpoint(self, message: m.CheckpointReport) -> Answer:
        new = message.checkpoint
        if max(len(new.manifest), len(new.digest)) > LONGEST_KEY:
            text = f"the key of a manifest has at most {LONGEST_KEY} characters"
            raise RefusedError.because(m.RefusalCode.INVALID, text)

        def decide(job: Job) -> JobEvent | None:
            event = Checkpointed(epoch=new.epoch, checkpoint=new)
            if new in job.checkpoints:
                return None
            if new.generation != job.generation + 1:
                raise IllegalTransitionError(job, event)
            return event

        return self._take(message, new.epoch, decide, progress=new.progress)

    def missed(self, message: m.CheckpointMiss) -> Answer:
        event = CheckpointMissed(epoch=message.epoch, reason=bounded(message.reason))
        return self._take(message, message.epoch, lambda job: event)

    def draining(self, message: m.DrainReport) -> Answer:
        event = Draining(epoch=message.epoch, reason=bounded(message.reason))
        return self._take(
            message, message.epoch, lambda job: event if job.state is JobState.RUNNING else None
        )

    def complete(self, message: m.Complete) -> Answer:
        event = Completed(epoch=message.epoch)
        return self._take(
            message,
            message.epoch,
            lambda job: event,
            was_it=lambda job: job.state is JobState.COMPLETED,
        )

    def fail(self, message: m.Fail) -> Answer:
        if message.end.outcome in NOT_A_FAILURE:
            text = f"{message.end.outcome} is not how a worker's attempt fails"
            raise RefusedError.because(m.RefusalCode.INVALID, text)
        end = _bounded(message.end)

        def decide(job: Job) -> JobEvent:
            return follow(job, end, now=self._ledger.wall(), jitter=self._jitter())

        return self._take(
            message,
            message.epoch,
            decide,
            was_it=lambda job: _ended_with(job, end.reason),
        )

    def handoff(self, message: m.Handoff) -> Answer:
        reason = bounded(message.reason)
        return self._take(
            message,
            message.epoch,
            lambda job: follow_handoff(job, reason),
            was_it=lambda job: _ended_with(job, reason),
        )

    def cancelled(self, message: m.CancelReport) -> Answer:
        event = Cancelled(epoch=message.epoch)
        return self._take(message, message.epoch, lambda job: event)

    def _take(
        self,
        message: Report,
        epoch: Epoch,
        decide: Callable[[Job], JobEvent | None],
        *,
        progress: Progress | None = None,
        was_it: Callable[[Job], bool] = lambda job: False,
    ) -> Answer:
        """Record what the report causes, if its lease lives.

        decide: None where the job knows it already. was_it: whether a lease that is over was
        ended by this report.
        """
        if message.worker in self._ledger.workers:
            self._presence.hear(message.worker)
        job = self._ledger.jobs.get(message.job)
        lease = job.lease if job is not None else None
        if job is None or lease is None or (lease.epoch, lease.worker) != (epoch, message.worker):
            return self.answer(self._late(message.job, epoch, was_it))
        if job.state is JobState.ASSIGNED:
            # Whoever reports has begun; the `start` itself may have been lost.
            self._ledger.record(job.id, Started(epoch=epoch))
            job = self._ledger.jobs[job.id]
        event = decide(job)
        self._presence.note(job.id, epoch, progress)
        done = self._ledger.settled(job) if event is None else self._ledger.record(job.id, event)
        return then(done, _standing)

    async def _late(self, id: JobId, epoch: Epoch, was_it: Callable[[Job], bool]) -> m.LeaseAnswer:
        """What a report is told whose lease does not live."""
        try:
            job = await self._ledger.archive.fetch(id)
        except UnknownJobError:
            return m.LeaseAnswer(standing=m.Standing.SUPERSEDED)
        await self._ledger.settled(None)
        ended_here = job.id == id and job.epoch == epoch and job.lease is None
        if ended_here and (was_it(job) or job.state is JobState.CANCELLED):
            return _standing(job)
        return m.LeaseAnswer(standing=m.Standing.SUPERSEDED)


def _standing(job: Job) -> m.LeaseAnswer:
    if job.state in (JobState.CANCELLING, JobState.CANCELLED):
        return m.LeaseAnswer(standing=m.Standing.CANCELLED)
    return m.LeaseAnswer(standing=m.Standing.ACCEPTED)


def _ended_with(job: Job, reason: str) -> bool:
    """Whether the latest attempt ended in these words; a spent budget is told behind them."""
    if job.end is None:
        return False
    return job.end.reason == reason or job.end.reason.startswith(f"{reason} (")


def _bounded(end: AttemptEnd) -> AttemptEnd:
    return msgspec.structs.replace(
        end, reason=bounded(end.reason), evidence=end.evidence[-LONGEST:]
    )
