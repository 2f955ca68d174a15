"""Jobs in every state and one event of every kind, for the tests of what moves them."""

from collections.abc import Mapping
from typing import get_args

from relaymd.core import events as e
from relaymd.core import job as j
from relaymd.core.checkpoint import Checkpoint
from relaymd.core.events import JobEvent
from relaymd.core.ids import Epoch, Generation, JobId, UnixTime, WorkerId
from relaymd.core.job import Job, JobState
from relaymd.core.lease import Lease
from relaymd.core.outcome import AttemptEnd, Outcome

NOW = UnixTime(1000.0)
EPOCH = Epoch(7)
"""Of the live lease of every job here that has one."""

LEASED = (JobState.ASSIGNED, JobState.RUNNING, JobState.DRAINING, JobState.CANCELLING)
END = AttemptEnd(outcome=Outcome.ENGINE_FAILED, reason="exit code 1")


def lease(epoch: int = EPOCH) -> Lease:
    return Lease(epoch=Epoch(epoch), worker=WorkerId(f"w-{epoch}"), granted_at=NOW)


def checkpoint(generation: int, epoch: int = EPOCH) -> Checkpoint:
    return Checkpoint(
        generation=Generation(generation),
        epoch=Epoch(epoch),
        manifest=f"manifest-{generation}",
        digest="d",
        at=NOW,
    )


def job_in(state: JobState) -> Job:
    """A job with a history: two checkpoints, seven leases, a charge."""
    return Job(
        id=JobId("j-1"),
        title="t",
        bundle=j.Bundle(key="k", digest="d", size=1),
        submitted_at=UnixTime(1.0),
        queued_at=UnixTime(2.0),
        state=state,
        epoch=EPOCH,
        lease=lease() if state in LEASED else None,
        checkpoints=(checkpoint(1, 5), checkpoint(2, 6)),
        charges={Outcome.INTERRUPTED: 1},
    )


def event_of(kind: type[JobEvent], epoch: Epoch = EPOCH) -> JobEvent:
    """One event of the kind, as the live lease would say it."""
    return _events(epoch)[kind]


def _events(epoch: Epoch) -> Mapping[type[JobEvent], JobEvent]:
    found: list[JobEvent] = [
        e.Submitted(title="t"),
        e.Assigned(lease=lease(epoch + 1)),
        e.Started(epoch=epoch),
        e.Launched(epoch=epoch, restored=Generation(2)),
        e.Checkpointed(epoch=epoch, checkpoint=checkpoint(3, epoch)),
        e.CheckpointMissed(epoch=epoch, reason="storage"),
        e.Draining(epoch=epoch, reason="preempted"),
        e.HandedOff(epoch=epoch, reason="preempted"),
        e.Interrupted(epoch=epoch, end=END, not_before=UnixTime(1100.0)),
        e.Completed(epoch=epoch),
        e.Failed(epoch=epoch, end=END),
        e.CancelRequested(by="me"),
        e.Cancelled(epoch=epoch),
        e.Requeued(by="me"),
    ]
    return {type(event): event for event in found}


LEASE_EVENTS: tuple[type[JobEvent], ...] = get_args(e.LeaseEvent)
EVENTS: tuple[type[JobEvent], ...] = tuple(_events(EPOCH))
