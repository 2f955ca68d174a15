"""Everything that crosses the wire, as JSON that a person can read with `nats sub`.

A new field goes last and has a default: workers of the previous release keep running through
an upgrade. A field is never renamed or used again for something else.
"""

from enum import StrEnum

import msgspec

from relaymd.core.checkpoint import Checkpoint, Progress
from relaymd.core.ids import AllocationId, Epoch, Generation, InstanceId, JobId, UnixTime, WorkerId
from relaymd.core.job import Bundle, Job, JobEvent, JobState
from relaymd.core.outcome import AttemptEnd
from relaymd.core.provisioning import Allocation
from relaymd.core.resources import Gpu, ProviderKind, Requirements
from relaymd.core.segments import Segment
from relaymd.core.worker import Worker, WorkerEvent

PROTOCOL = 1
"""Rises when an older worker could do harm; a worker announces it when it registers."""


# -- refusals ---------------------------------------------------------------------------------


class RefusalCode(StrEnum):
    INVALID = "invalid_request"
    UNKNOWN_JOB = "job_not_found"
    UNKNOWN_WORKER = "worker_not_found"
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


# -- operator -> orchestrator -----------------------------------------------------------------


class Submit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Register a job whose bundle is uploaded. The id is the client's: twice is once."""

    job: JobId
    title: str
    bundle: Bundle
    command: str = ""
    requirements: Requirements = Requirements()
    priority: int = 0
    by: str = ""


class JobView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job as it is now, with what only memory knows."""

    job: Job
    progress: Progress | None = None
    """The latest heard, committed or not."""

    why_waiting: str | None = None
    """For a queued job: why it does not run."""


class ListJobs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    states: tuple[JobState, ...] = ()
    """Empty: all."""

    limit: int = 100
    """At most 1000."""

    after: str | None = None
    """`next` of the page before; None: from the newest."""


class JobPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    jobs: tuple[JobView, ...]
    """Newest submit first."""

    next: str | None = None
    """None: there are no more."""


class ShowJob(msgspec.Struct, frozen=True, kw_only=True):
    job: JobId
    """Or the beginning of exactly one job's id."""


class JobDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    view: JobView
    segments: tuple[Segment, ...] = ()
    history: tuple["JobChanged", ...] = ()
    """The latest 200 events, oldest first."""


class CancelJob(msgspec.Struct, frozen=True, kw_only=True):
    job: JobId
    by: str = ""


class RequeueJob(msgspec.Struct, frozen=True, kw_only=True):
    job: JobId
    by: str = ""


class ListWorkers(msgspec.Struct, frozen=True, kw_only=True):
    pass


class WorkerView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    worker: Worker
    jobs: tuple[JobId, ...] = ()
    verdict: str = "alive"
    silent_for: float = 0.0
    """Seconds since it was last heard."""


class WorkerList(msgspec.Struct, frozen=True, kw_only=True):
    workers: tuple[WorkerView, ...]


class DrainWorker(msgspec.Struct, frozen=True, kw_only=True):
    worker: WorkerId
    by: str = ""


class AskStatus(msgspec.Struct, frozen=True, kw_only=True):
    pass


class WindDown(msgspec.Struct, frozen=True, kw_only=True):
    """The stack goes down: ask no provider for anything more until you are started again."""


class ActorStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    restarts: int = 0
    last_error: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    version: str
    started_at: UnixTime
    jobs: dict[JobState, int]
    """How many jobs are in each state."""

    workers: int
    allocations: tuple[Allocation, ...] = ()
    actors: tuple[ActorStatus, ...] = ()
    unpublished_events: int = 0
    last_event: int = 0
    """`seq` of the newest; who reads the stream from here on misses nothing."""


# -- facts ------------------------------------------------------------------------------------


class JobChanged(msgspec.Struct, frozen=True, kw_only=True):
    """One event of one job, as it stands in the ledger. `seq` counts all events, without gaps."""

    seq: int
    at: UnixTime
    job: JobId
    kind: str
    state: JobState
    """After the event."""

    event: JobEvent


class WorkerChanged(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    at: UnixTime
    worker: WorkerId
    kind: str
    event: WorkerEvent


class ProviderChanged(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    at: UnixTime
    cluster: str
    kind: str
    """requested, submitted, active, ended, failed, withdrawn."""

    allocation: AllocationId
    reason: str = ""


class OutputStream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an engine's output while it runs. Storage gets every piece as well."""

    job: JobId
    epoch: Epoch
    stream: OutputStream
    offset: int
    """Of the first byte, within this segment's stream."""

    text: str
    """Undecodable bytes are replaced; `size` says how many bytes it stands for."""

    size: int
