"""Everything that crosses the wire, as JSON that a person can read with `nats sub`.

A new field goes last and has a default: workers of the previous release keep running through
an upgrade. A field is never renamed or used again for something else.
"""

from enum import StrEnum

import msgspec

from relaymd.core.checkpoint import Checkpoint, Progress
from relaymd.core.devices import Load
from relaymd.core.ids import AllocationId, Epoch, Generation, InstanceId, JobId, UnixTime, WorkerId
from relaymd.core.job import Bundle, JobState
from relaymd.core.outcome import AttemptEnd
from relaymd.core.resources import Gpu, ProviderKind

PROTOCOL = 1
"""Rises when an older worker could do harm; a worker announces it when it registers."""


# -- refusals ---------------------------------------------------------------------------------


class RefusalCode(StrEnum):
    INVALID = "invalid_request"
    UNKNOWN_JOB = "job_not_found"
    UNKNOWN_WORKER = "worker_not_found"
    UNKNOWN_CLUSTER = "cluster_not_found"
    CONFLICT = "job_transition_conflict"
    INCOMPATIBLE = "protocol_incompatible"
    UNAVAILABLE = "unavailable"
    """Try again later: a disk is full, a server is starting."""

    DENIED = "denied"
    """These credentials may not say that."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request will not be done: the one error shape, on the bus and over HTTP."""

    error: RefusalCode
    message: str
    job_id: JobId | None = None
    current_status: JobState | None = None
    requested_status: JobState | None = None


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It was done, and is on disk."""


# -- worker -> registry -----------------------------------------------------------------------


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """Who I am and what I have. Sent again with the same instance it changes nothing."""

    worker: WorkerId
    instance: InstanceId
    protocol: int = PROTOCOL
    allocation: AllocationId | None = None
    provider: ProviderKind = ProviderKind.LOCAL
    cluster: str = "local"
    host: str = ""
    pid: int = 0
    image: str | None = None
    platforms: tuple[str, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    slots: int = 1
    deadline: UnixTime | None = None
    version: str = ""
    external: str = ""
    """The provider's own name for where it runs, where nobody could tell it its allocation."""

    cpus: int = 0
    """Processors it may use; 0: not said."""

    memory_gb: float = 0.0


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    heartbeat_every: float
    """Seconds between heartbeats."""

    time_to_live: float
    """Seconds after which a silent worker's leases may go to others."""

    protocol: int = PROTOCOL


class Phase(StrEnum):
    STAGING = "staging"
    RUNNING = "running"
    DRAINING = "draining"
    REPORTING = "reporting"


class HeldLease(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    job: JobId
    epoch: Epoch
    phase: Phase = Phase.RUNNING
    progress: Progress | None = None
    """None: nothing is known, which changes nothing."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    worker: WorkerId
    instance: InstanceId
    leases: tuple[HeldLease, ...] = ()
    load: Load | None = None
    """Of its machine; None: not measured, which changes nothing."""


class HeartbeatAck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was pushed and may have been lost is said here once more."""

    known: bool = True
    """False: register again."""

    superseded: tuple[JobId, ...] = ()
    cancelled: tuple[JobId, ...] = ()
    drain: str | None = None
    """A reason: give back what you hold and leave."""

    asking: tuple[int, ...] | None = None
    """Slots whose question for work is open here; None: not said.

    A slot that asked well before this heartbeat and is not among them asks again: its question
    was lost, or went to an orchestrator that is dead.
    """

    ends_in: float | None = None
    """Seconds until the allocation ends, as its provider says; None: it says nothing."""


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """Goodbye. Leases still held end as interrupted."""

    worker: WorkerId
    instance: InstanceId
    reason: str


class WorkerDrains(msgspec.Struct, frozen=True, kw_only=True):
    """I give back what I hold and leave: no more work for me."""

    worker: WorkerId
    instance: InstanceId
    reason: str


# -- worker -> scheduler ----------------------------------------------------------------------


class AskForWork(msgspec.Struct, frozen=True, kw_only=True):
    """This slot is idle. The answer comes when there is work, or when `wait` is over."""

    worker: WorkerId
    instance: InstanceId
    slot: int = 0
    wait: float
    """Seconds."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True, tag="assignment"):
    job: JobId
    epoch: Epoch
    title: str
    bundle: Bundle
    checkpoints: tuple[Checkpoint, ...] = ()
    """Committed generations to restore from, newest last; none: from the bundle alone."""

    slots: tuple[int, ...] = ()
    """All slots whose devices the job has, the asking one first; empty: that one alone."""


class NoWork(msgspec.Struct, frozen=True, kw_only=True, tag="no-work"):
    leave: bool = False
    """Do not ask again: drain."""


class WorkAnswer(msgspec.Struct, frozen=True, kw_only=True):
    work: Assignment | NoWork


class Standing(StrEnum):
    """How a lease stands. Both answers are final for the message they answer."""

    ACCEPTED = "accepted"
    SUPERSEDED = "superseded"
    """The lease is over: stop the engine, upload nothing more, ask for other work."""

    CANCELLED = "cancelled"
    """Accepted, and an operator wants the job stopped."""


class LeaseAnswer(msgspec.Struct, frozen=True, kw_only=True):
    standing: Standing


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """I have the assignment and begin."""

    worker: WorkerId
    job: JobId
    epoch: Epoch


class LaunchReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    worker: WorkerId
    job: JobId
    epoch: Epoch
    restored: Generation = Generation(0)
    progress: Progress | None = None
    note: str = ""


class CheckpointReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything is uploaded; with the answer `accepted` the generation exists."""

    worker: WorkerId
    job: JobId
    checkpoint: Checkpoint


class CheckpointMiss(msgspec.Struct, frozen=True, kw_only=True):
    worker: WorkerId
    job: JobId
    epoch: Epoch
    reason: str


class Complete(msgspec.Struct, frozen=True, kw_only=True):
    worker: WorkerId
    job: JobId
    epoch: Epoch


class Fail(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt ended otherwise; what follows is not the worker's to decide."""

    worker: WorkerId
    job: JobId
    epoch: Epoch
    end: AttemptEnd


class DrainReport(msgspec.Struct, frozen=True, kw_only=True):
    """The job is being brought to a stop, to be handed on."""

    worker: WorkerId
    job: JobId
    epoch: Epoch
    reason: str


class Handoff(msgspec.Struct, frozen=True, kw_only=True):
    """I give the lease back; what is committed is all there is."""

    worker: WorkerId
    job: JobId
    epoch: Epoch
    reason: str


class CancelReport(msgspec.Struct, frozen=True, kw_only=True):
    """The engine is stopped, as you wanted."""

    worker: WorkerId
    job: JobId
    epoch: Epoch


# -- orchestrator -> worker -------------------------------------------------------------------


class Ping(msgspec.Struct, frozen=True, kw_only=True):
    worker: WorkerId


class Pong(msgspec.Struct, frozen=True, kw_only=True):
    instance: InstanceId


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """Give back everything you hold, within what time is left, and leave."""

    worker: WorkerId
    reason: str


class StopJob(msgspec.Struct, frozen=True, kw_only=True):
    """The lease is over, or the job is cancelled: which, says `standing`."""

    worker: WorkerId
    job: JobId
    epoch: Epoch
    standing: Standing
