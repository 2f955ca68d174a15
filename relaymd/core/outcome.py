"""How an attempt to run a job can end. Whose fault it was decides what follows."""

from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    COMPLETED = "completed"
    ENGINE_FAILED = "engine_failed"
    """The simulation itself: a non-zero exit, a stall, a fatal line."""

    INTERRUPTED = "interrupted"
    """Preempted, wall time, node lost, worker died: nobody's fault, and no reason to stop."""

    NODE_UNFIT = "node_unfit"
    """This place cannot run it: no GPU, wrong platform, disk full. Another may."""

    BUNDLE_INVALID = "bundle_invalid"
    """What was submitted cannot be run anywhere."""

    STORAGE_UNAVAILABLE = "storage_unavailable"
    """Input or checkpoint could not be read, so nothing was started over it."""

    CANCELLED = "cancelled"

    NO_PROGRESS = "no_progress"
    """Interrupted again and again without one new checkpoint: given up."""


class AttemptEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker, or the reaper in its place, says of an attempt that did not complete."""

    outcome: Outcome
    reason: str
    """One sentence for a person."""

    exit_code: int | None = None
    """Of the engine; negative: the signal that ended it."""

    evidence: str = ""
    """The last lines of output, or what else shows the cause. At most a few kilobytes."""
