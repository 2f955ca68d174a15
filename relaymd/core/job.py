"""The life of a job.

    queued ──► assigned ──► running ──► completed
      ▲ │          │         │   │ ────► failed ──────┐
      │ │          │         ▼   │                    │ requeue by an operator,
      │ │          │     draining┤──► completed       │ same id, same checkpoint
      │ │          ▼         ▼   ▼                    │
      └─┼──── interrupted, handed over ◄──────────────┤
        │                                             │
        ├──────────────► cancelled ───────────────────┘
        │                    ▲
        └─(has a lease)─► cancelling

A job outlives the workers that run it. Each assignment is a lease with an epoch of its own;
an event that carries another epoch than the live lease's is a zombie's and changes nothing.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from relaymd.core.checkpoint import KEPT, Checkpoint
from relaymd.core.events import (
    Assigned,
    Cancelled,
    CancelRequested,
    Checkpointed,
    CheckpointMissed,
    Completed,
    Draining,
    Failed,
    HandedOff,
    Interrupted,
    JobEvent,
    Launched,
    LeaseEvent,
    Requeued,
    Started,
    Submitted,
)
from relaymd.core.ids import Epoch, Generation, JobId, UnixTime
from relaymd.core.lease import Lease
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.resources import Requirements


class JobState(StrEnum):
    QUEUED = "queued"
    ASSIGNED = "assigned"
    RUNNING = "running"
    DRAINING = "draining"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """The immutable input, as it was uploaded before the job was registered."""

    key: str
    digest: str
    """BLAKE3 of the archive, in hexadecimal."""

    size: int
    """Bytes of the archive."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    id: JobId
    title: str
    command: str = ""
    """For people; what runs is read from the bundle."""

    bundle: Bundle
    requirements: Requirements = Requirements()
    priority: int = 0
    """Higher goes first."""

    submitted_at: UnixTime
    queued_at: UnixTime
    """Begin of the current stay in the queue."""

    not_before: UnixTime = UnixTime(0.0)
    """Backing off until then."""

    state: JobState = JobState.QUEUED
    epoch: Epoch = Epoch(0)
    """Of the latest lease, live or past."""

    lease: Lease | None = None
    checkpoints: tuple[Checkpoint, ...] = ()
    """The newest committed generations, newest last."""

    charges: dict[Outcome, int] = {}
    """Attempts that ended so since the last committed checkpoint."""

    end: AttemptEnd | None = None
    """How the latest attempt ended, or why the job is where it is."""

    @property
    def generation(self) -> Generation:
        """The newest committed generation; 0 before the first."""
        return self.checkpoints[-1].generation if self.checkpoints else Generation(0)


_Q, _A, _R, _D, _C = (
    JobState.QUEUED,
    JobState.ASSIGNED,
    JobState.RUNNING,
    JobState.DRAINING,
    JobState.CANCELLING,
)

TRANSITIONS: Mapping[tuple[JobState, type[JobEvent]], JobState] = {
    (_Q, Assigned): _A,
    (_Q, CancelRequested): JobState.CANCELLED,
    (_A, Started): _R,
    (_A, Interrupted): _Q,
    (_A, CancelRequested): _C,
    (_R, Launched): _R,
    (_R, Checkpointed): _R,
    (_R, CheckpointMissed): _R,
    (_R, Draining): _D,
    (_R, HandedOff): _Q,
    (_R, Interrupted): _Q,
    (_R, Completed): JobState.COMPLETED,
    (_R, Failed): JobState.FAILED,
    (_R, CancelRequested): _C,
    (_D, Launched): _D,
    (_D, Checkpointed): _D,
    (_D, CheckpointMissed): _D,
    (_D, HandedOff): _Q,
    (_D, Interrupted): _Q,
    (_D, Completed): JobState.COMPLETED,
    (_D, Failed): JobState.FAILED,
    (_D, CancelRequested): _C,
    # A cancelled job may still store what it has; however its lease ends, it is cancelled.
    (_C, Started): _C,
    (_C, Launched): _C,
    (_C, Checkpointed): _C,
    (_C, CheckpointMissed): _C,
    (_C, HandedOff): JobState.CANCELLED,
    (_C, Interrupted): JobState.CANCELLED,
    (_C, Completed): JobState.CANCELLED,
    (_C, Failed): JobState.CANCELLED,
    (_C, Cancelled): JobState.CANCELLED,
    (JobState.FAILED, Requeued): _Q,
    (JobState.CANCELLED, Requeued): _Q,
}


class IllegalTransitionError(Exception):
    """An event reached a job in a state that does not expect it. Nothing was changed."""

    def __init__(self, job: Job, event: JobEvent) -> None:
        self.job = job
        self.event = event
        self.requested = _requested(event)
        super().__init__(f"job {job.id} is {job.state} and cannot become {self.requested}")


class StaleLeaseError(Exception):
    """An event came under a lease that is no longer the job's. Nothing was changed."""

    def __init__(self, job: Job, epoch: Epoch) -> None:
        super().__init__(f"lease {epoch} of job {job.id} is over; the latest is {job.epoch}")
        self.job = job
        self.epoch = epoch


def apply(job: Job, event: JobEvent, *, at: UnixTime) -> Job:
    """The job as it is after the event; the old one is unchanged.

    Raises StaleLeaseError or IllegalTransitionError.
    """
    if isinstance(event, LeaseEvent):
        _check_lease(job, event.epoch)
    try:
        state = TRANSITIONS[job.state, type(event)]
    except KeyError:
        raise IllegalTransitionError(job, event) from None
    changed = _change(job, event, at)
    if state is JobState.CANCELLED:
        end = AttemptEnd(outcome=Outcome.CANCELLED, reason="cancelled by an operator")
        changed = msgspec.structs.replace(changed, lease=None, end=end)
    return msgspec.structs.replace(changed, state=state)


def _check_lease(job: Job, epoch: Epoch) -> None:
    if job.lease is None or job.lease.epoch != epoch:
        raise StaleLeaseError(job, epoch)


def _change(job: Job, event: JobEvent, at: UnixTime) -> Job:
    replace = msgspec.structs.replace
    match event:
        case Assigned(lease=lease):
            if lease.epoch <= job.epoch:
                raise StaleLeaseError(job, lease.epoch)
            return replace(job, lease=lease, epoch=lease.epoch, not_before=UnixTime(0.0))
        case Checkpointed(checkpoint=checkpoint):
            if checkpoint.epoch != job.epoch:
                raise StaleLeaseError(job, checkpoint.epoch)
            if checkpoint.generation != job.generation + 1:
                raise IllegalTransitionError(job, event)
            kept = (*job.checkpoints, checkpoint)[-KEPT:]
            return replace(job, checkpoints=kept, charges={})
        case HandedOff(reason=reason):
            end = AttemptEnd(outcome=Outcome.INTERRUPTED, reason=reason)
            # A handoff that brought nothing forward counts like an interruption: else a job
            # whose checkpoints never come in time would be handed on for ever.
            charges = job.charges if has_advanced(job) else _charge(job.charges, end.outcome)
            return replace(job, lease=None, end=end, queued_at=at, charges=charges)
        case Interrupted(end=end, not_before=not_before, charged=charged):
            charges = _charge(job.charges, end.outcome) if charged else job.charges
            return replace(
                job, lease=None, end=end, queued_at=at, not_before=not_before, charges=charges
            )
        case Completed():
            end = AttemptEnd(outcome=Outcome.COMPLETED, reason="the engine finished", exit_code=0)
            return replace(job, lease=None, end=end)
        case Failed(end=end):
            return replace(job, lease=None, end=end)
        case Requeued():
            return replace(job, queued_at=at, not_before=UnixTime(0.0), charges={}, end=None)
        case Launched():
            assert job.lease is not None
            return replace(job, lease=replace(job.lease, launched=True))
        case Submitted() | Started() | CheckpointMissed() | Draining():
            return job
        case CancelRequested() | Cancelled():
            return job


def has_advanced(job: Job) -> bool:
    """Whether a checkpoint was committed under the live lease."""
    return bool(job.checkpoints) and job.checkpoints[-1].epoch == job.epoch


def _charge(charges: Mapping[Outcome, int], outcome: Outcome) -> dict[Outcome, int]:
    return {**charges, outcome: charges.get(outcome, 0) + 1}


def _requested(event: JobEvent) -> JobState:
    """The state an event asks for, as a person would name it."""
    if isinstance(event, CancelRequested):
        return JobState.CANCELLED
    if isinstance(event, Submitted):
        return JobState.QUEUED
    return next(state for (_, kind), state in TRANSITIONS.items() if kind is type(event))
