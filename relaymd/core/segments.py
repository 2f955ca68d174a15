"""A job's history as a person asks for it: who ran it, from where to where, and what was lost."""

from collections.abc import Iterable

import msgspec

from relaymd.core.checkpoint import Checkpoint, Progress
from relaymd.core.events import (
    Assigned,
    Cancelled,
    Checkpointed,
    Completed,
    Draining,
    Failed,
    HandedOff,
    Interrupted,
    JobEvent,
    Launched,
    Started,
)
from relaymd.core.ids import Epoch, Generation, UnixTime, WorkerId
from relaymd.core.rate import Rate, rate


class Segment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened under one lease."""

    epoch: Epoch
    worker: WorkerId
    cluster: str
    assigned_at: UnixTime
    started_at: UnixTime | None = None
    launched_at: UnixTime | None = None
    draining_at: UnixTime | None = None
    ended_at: UnixTime | None = None
    restored: Generation = Generation(0)
    committed: Generation = Generation(0)
    """Newest generation committed in this segment; 0: none."""

    begin: Progress | None = None
    """Progress of the checkpoint it started from."""

    end: Progress | None = None
    """Progress of the last checkpoint it committed."""

    last_checkpoint_at: UnixTime | None = None
    rate: Rate | None = None
    """From its start to its last checkpoint, with what the engine needed to get going."""

    how: str = "running"
    """completed, handed over, or the outcome of the attempt."""

    reason: str = ""

    @property
    def lost_seconds(self) -> float | None:
        """Seconds of computing after the last commit that nobody has; None while it runs."""
        if self.ended_at is None or self.launched_at is None:
            return None
        if self.how in ("completed", "handed over"):
            return 0.0
        # The worker's clock says when the checkpoint was made, ours when the attempt ended.
        return max(self.ended_at - (self.last_checkpoint_at or self.launched_at), 0.0)


def segments(history: Iterable[tuple[UnixTime, JobEvent]]) -> list[Segment]:
    """Fold a job's events, oldest first, into its segments."""
    found: dict[Epoch, Segment] = {}
    for at, event in history:
        match event:
            case Assigned(lease=lease):
                found[lease.epoch] = Segment(
                    epoch=lease.epoch, worker=lease.worker, cluster=lease.cluster, assigned_at=at
                )
            case (
                Started(epoch=epoch)
                | Launched(epoch=epoch)
                | Checkpointed(epoch=epoch)
                | Draining(epoch=epoch)
                | HandedOff(epoch=epoch)
                | Interrupted(epoch=epoch)
                | Completed(epoch=epoch)
                | Failed(epoch=epoch)
                | Cancelled(epoch=epoch)
            ) if epoch in found:
                found[epoch] = _advance(found[epoch], event, at)
            case _:
                pass
    return list(found.values())


def _advance(segment: Segment, event: JobEvent, at: UnixTime) -> Segment:
    replace = msgspec.structs.replace
    match event:
        case Started():
            return replace(segment, started_at=at)
        case Launched(restored=restored, progress=progress):
            return replace(segment, launched_at=at, restored=restored, begin=progress, end=progress)
        case Checkpointed(checkpoint=checkpoint):
            return replace(
                segment,
                committed=checkpoint.generation,
                end=checkpoint.progress or segment.end,
                last_checkpoint_at=checkpoint.at,
                rate=_rate(segment, checkpoint),
            )
        case Draining():
            return replace(segment, draining_at=at)
        case HandedOff(reason=reason):
            return replace(segment, ended_at=at, how="handed over", reason=reason)
        case Interrupted(end=end) | Failed(end=end):
            return replace(segment, ended_at=at, how=str(end.outcome), reason=end.reason)
        case Completed():
            return replace(segment, ended_at=at, how="completed")
        case Cancelled():
            return replace(segment, ended_at=at, how="cancelled")
        case _:
            return segment


def _rate(segment: Segment, checkpoint: Checkpoint) -> Rate | None:
    """A segment without a checkpoint to start from began at nothing."""
    begin = segment.begin or (None if segment.restored else Progress(fraction=0.0, step=0))
    if segment.launched_at is None or begin is None or checkpoint.progress is None:
        return segment.rate
    return rate(begin, checkpoint.progress, checkpoint.at - segment.launched_at) or segment.rate
