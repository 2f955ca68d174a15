"""What people say and are told, and the bridge for them: messages of operators.

The same rules as in `messages`: grow at the end, with defaults.
"""

import msgspec

from relaymd.bus.facts import JobChanged
from relaymd.core.allocation import Allocation
from relaymd.core.checkpoint import Progress
from relaymd.core.devices import Load
from relaymd.core.ids import AllocationId, JobId, UnixTime, WorkerId
from relaymd.core.job import Bundle, Job, JobState
from relaymd.core.provisioning import Offer
from relaymd.core.quarantine import Quarantine
from relaymd.core.rate import Rate
from relaymd.core.resources import Requirements
from relaymd.core.segments import Segment
from relaymd.core.worker import Worker


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

    rate: Rate | None = None
    """Of the segment that runs; None: not known yet."""

    seconds_left: float | None = None
    """Until it is done, at that rate."""


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
    history: tuple[JobChanged, ...] = ()
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

    load: Load | None = None
    """Of its machine, as last heard."""

    quarantine: Quarantine | None = None
    """Why it gets no work just now; None: it does."""


class WorkerList(msgspec.Struct, frozen=True, kw_only=True):
    workers: tuple[WorkerView, ...]


class DrainWorker(msgspec.Struct, frozen=True, kw_only=True):
    worker: WorkerId
    by: str = ""


class ReleaseWorker(msgspec.Struct, frozen=True, kw_only=True):
    """Forgive the worker's node what is against it."""

    worker: WorkerId
    by: str = ""


class ListClusters(msgspec.Struct, frozen=True, kw_only=True):
    pass


class AllocationView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    allocation: Allocation
    says: str = ""
    """What its provider said of it last: why it waits."""

    expected: UnixTime | None = None
    """When its provider believes that it starts."""

    withdrawn: bool = False
    """It is being taken back."""


class ClusterView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One provider, and how it does."""

    cluster: str
    offers: tuple[Offer, ...] = ()
    disabled: str = ""
    """Who or what took it out of use."""

    closed: str = ""
    """Why nothing is asked of it just now."""

    allocations: tuple[AllocationView, ...] = ()
    workers: int = 0
    seen_ago: float | None = None
    """Seconds since it last answered; None: it was not asked yet."""


class ClusterList(msgspec.Struct, frozen=True, kw_only=True):
    clusters: tuple[ClusterView, ...]


class SwitchCluster(msgspec.Struct, frozen=True, kw_only=True):
    """Use a cluster, or ask nothing of it. Counts above the configuration until said otherwise."""

    cluster: str
    enabled: bool
    by: str = ""


class AskPlan(msgspec.Struct, frozen=True, kw_only=True):
    pass


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    what: str
    """submit, withdraw, retire."""

    cluster: str = ""
    image: str | None = None
    wall_seconds: float | None = None
    allocation: AllocationId | None = None
    worker: WorkerId | None = None
    reason: str = ""


class WaitingClass(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Jobs that wait and that no place there is could tell apart."""

    need: Requirements
    jobs: int
    oldest: float
    """Seconds the oldest has waited."""

    why: str
    """Why the last of them does not run, in one sentence."""

    first: JobId
    """One of those that have waited longest."""


class PlanView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What would be done now, and what who waits can hope for."""

    commands: tuple[PlannedStep, ...] = ()
    waiting: tuple[WaitingClass, ...] = ()


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
