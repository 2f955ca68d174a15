"""What there is, what can be asked for, and what to do about it: the words of `core.planning`."""

from collections.abc import Collection, Mapping
from typing import TypeAlias

import msgspec

from relaymd.core.allocation import Allocation
from relaymd.core.clusters import Strategy
from relaymd.core.ids import AllocationId, UnixTime, WorkerId
from relaymd.core.resources import ProviderKind, Requirements, Seat


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What one provider can add: one kind of allocation, up to a limit.

    A provider with several images makes several offers; limits are those of the cluster.
    """

    cluster: str
    provider: ProviderKind
    template: Seat
    """A seat of one such allocation; its worker id means nothing."""

    slots: int = 1
    """Seats in one allocation."""

    limit: int
    """Allocations that may exist in the cluster at a time."""

    max_pending: int | None = None
    """Allocations that may wait in the cluster's queue at a time; None: as many as are needed."""

    strategy: Strategy = Strategy.CONTINUOUS
    jit_threshold: float = 0.0
    """Seconds the oldest job must have waited, for the strategy jit_threshold."""

    wall_seconds: float | None = None
    """How long an allocation lives; None: nothing ends it, or nobody knows."""

    wall_spread: float = 0.0
    """Share by which allocations are asked for shorter, so that not all end at once."""

    outlives_worker: bool = False
    """Whether an allocation stays, and costs, when its worker has left."""

    disabled: str = ""
    """Who or what took it out of use; then what is on its way there is taken back as well."""

    closed: str = ""
    """Why nothing may be asked of it just now; empty: it may."""


class Supply(msgspec.Struct, frozen=True, kw_only=True):
    """What there is."""

    seats: Collection[Seat] = ()
    """Of all workers that take work, busy ones included."""

    idle: Collection[Seat] = ()
    """Those that take the next job, or will in a moment."""

    allocations: Collection[Allocation] = ()
    """All that have not ended."""

    manned: Collection[AllocationId] = ()
    """Those whose worker is registered."""

    unseen: Collection[AllocationId] = ()
    """Those that nobody can see: they count for the limits alone, and nobody waits for them."""

    expected: Mapping[AllocationId, UnixTime] = {}
    """When the provider believes that one of its queue starts."""

    says: Mapping[AllocationId, str] = {}
    """Why those of its queue wait, in its words."""


class PlanningPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """In seconds."""

    overflow_after: float = 600.0
    """Salad gets what no cluster has started, or will start, within this time."""

    ending: float = 300.0
    """A worker whose allocation ends within this time, or within a quarter of it, is none."""

    retire_after: float = 300.0
    """How long a worker that costs may be without use."""


class Submit(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for one allocation."""

    cluster: str
    image: str | None = None
    wall_seconds: float | None = None
    reason: str = ""


class Withdraw(msgspec.Struct, frozen=True):
    """Take back an allocation that has no worker and is not needed."""

    allocation: AllocationId


class Retire(msgspec.Struct, frozen=True):
    """Let a worker leave that has nothing to do and whose allocation costs."""

    worker: WorkerId


ProvisionCommand: TypeAlias = Submit | Withdraw | Retire


class Coming(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of a class that wait for allocations on their way to one cluster."""

    cluster: str
    jobs: int
    pending: bool = True
    """Whether these wait in the cluster's queue; else they start."""

    expected: UnixTime | None = None
    """When the first of these starts, as the cluster believes."""

    says: str = ""
    """Why they wait, in the cluster's words."""


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What a class of waiting jobs can hope for, in the order in which its jobs get it."""

    ahead: int = 0
    """Jobs of other classes that need the same, for these places, and come before."""

    idle: int = 0
    """So many find an idle seat, those ahead included; so with all that follows."""

    coming: tuple[Coming, ...] = ()
    asked: tuple[tuple[str, int], ...] = ()
    """Clusters of which allocations are asked for now, and for how many of its jobs."""

    obstacles: tuple[str, ...] = ()
    """Why nothing is asked for the rest: a reason for each cluster."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to hope for, and nobody who could be asked."""
        return not (self.idle or self.coming or self.asked or self.obstacles)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    commands: tuple[ProvisionCommand, ...] = ()
    outlooks: Mapping[Requirements, Outlook] = {}
    """For each class that waits."""
