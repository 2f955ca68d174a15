"""What can happen to a job. Each event is a fact, stored and published as it stands here."""

from typing import TypeAlias

import msgspec

from relaymd.core.checkpoint import Checkpoint, Progress
from relaymd.core.ids import Epoch, Generation, UnixTime
from relaymd.core.lease import Lease
from relaymd.core.outcome import AttemptEnd


class Submitted(msgspec.Struct, frozen=True, kw_only=True, tag="submitted"):
    """The job's first event; it creates the job and is in no table."""

    title: str
    by: str = ""


class Assigned(msgspec.Struct, frozen=True, kw_only=True, tag="assigned"):
    lease: Lease


class Started(msgspec.Struct, frozen=True, kw_only=True, tag="started"):
    """The worker confirmed its lease."""

    epoch: Epoch


class Launched(msgspec.Struct, frozen=True, kw_only=True, tag="launched"):
    """Input and checkpoint are in place and the engine runs."""

    epoch: Epoch
    restored: Generation = Generation(0)
    """The generation it started from; 0: from the bundle alone."""

    progress: Progress | None = None
    note: str = ""
    """What had to be passed over on the way, such as a damaged generation."""


class Checkpointed(msgspec.Struct, frozen=True, kw_only=True, tag="checkpointed"):
    epoch: Epoch
    checkpoint: Checkpoint


class CheckpointMissed(msgspec.Struct, frozen=True, kw_only=True, tag="checkpoint-missed"):
    """A cycle failed and committed nothing; the engine runs on and the next cycle tries again."""

    epoch: Epoch
    reason: str


class Draining(msgspec.Struct, frozen=True, kw_only=True, tag="draining"):
    epoch: Epoch
    reason: str


class HandedOff(msgspec.Struct, frozen=True, kw_only=True, tag="handed-off"):
    """The worker gave the lease back in good order."""

    epoch: Epoch
    reason: str


class Interrupted(msgspec.Struct, frozen=True, kw_only=True, tag="interrupted"):
    """The attempt ended before the job did; it waits for its next worker."""

    epoch: Epoch
    end: AttemptEnd
    not_before: UnixTime = UnixTime(0.0)
    charged: bool = True
    """Whether it counts against the job's budget for such ends."""


class Completed(msgspec.Struct, frozen=True, kw_only=True, tag="completed"):
    epoch: Epoch


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    epoch: Epoch
    end: AttemptEnd


class CancelRequested(msgspec.Struct, frozen=True, kw_only=True, tag="cancel-requested"):
    by: str = ""


class Cancelled(msgspec.Struct, frozen=True, kw_only=True, tag="cancelled"):
    """The worker stopped the engine and gave the lease back."""

    epoch: Epoch


class Requeued(msgspec.Struct, frozen=True, kw_only=True, tag="requeued"):
    """An operator wants it to go on: same id, same checkpoint, a fresh budget."""

    by: str = ""


LeaseEvent: TypeAlias = (
    Started
    | Launched
    | Checkpointed
    | CheckpointMissed
    | Draining
    | HandedOff
    | Interrupted
    | Completed
    | Failed
    | Cancelled
)
"""Said under a lease: its epoch must be the live one's."""

JobEvent: TypeAlias = Submitted | Assigned | LeaseEvent | CancelRequested | Requeued
