"""One piece of somebody's computer that we asked for, and what its provider says of it.

requested ──► submitted ──► active ──► ended
    └─────────────┴───────────────────────┘
"""

from enum import StrEnum

import msgspec

from relaymd.core.ids import AllocationId, UnixTime
from relaymd.core.outcome import Outcome


class AllocationState(StrEnum):
    REQUESTED = "requested"
    """Written down; whether the provider knows it is not certain."""

    SUBMITTED = "submitted"
    """The provider accepted it; no worker of it has registered yet."""

    ACTIVE = "active"
    """Its worker has registered."""

    ENDED = "ended"


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    id: AllocationId
    cluster: str
    state: AllocationState = AllocationState.REQUESTED
    external: str = ""
    """The provider's own name for it: a SLURM job id, a process id."""

    requested_at: UnixTime
    ended_reason: str = ""
    image: str | None = None
    """The worker image it was asked for with, by the name of the configuration."""

    wall_seconds: float | None = None
    """How long it was asked for; None: as long as the provider gives."""

    started_at: UnixTime | None = None
    """Since when the provider says that it runs; None: it waits there."""

    deadline: UnixTime | None = None
    """When it ends, as the provider says."""

    outcome: Outcome | None = None
    """Once it has ended: what that means for a job that it ran."""

    avoid: tuple[str, ...] = ()
    """Hosts that were in quarantine when it was asked for, as their workers called them."""

    @property
    def is_coming(self) -> bool:
        """Whether its worker is still to register."""
        return self.state in (AllocationState.REQUESTED, AllocationState.SUBMITTED)

    @property
    def is_pending(self) -> bool:
        """Whether it waits in the provider's queue, as far as is known."""
        return self.is_coming and self.started_at is None


class Whereabouts(StrEnum):
    """Where a provider sees an allocation."""

    PENDING = "pending"
    """In its queue."""

    RUNNING = "running"
    GONE = "gone"
    """It ended, or was never there: certainly, and not because somebody could not be asked."""

    UNKNOWN = "unknown"


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of one allocation. An error of the provider is `unknown`."""

    where: Whereabouts
    reason: str = ""
    """pending: why it waits, in the provider's words; gone: how it ended, in one sentence."""

    external: str = ""
    """The provider's own name for it, where it was found only now."""

    started_at: UnixTime | None = None
    deadline: UnixTime | None = None
    """running: when it ends, by this machine's clock."""

    estimated_start: UnixTime | None = None
    """pending: when the provider believes that it starts."""

    outcome: Outcome | None = None
    """gone: what it means for a job whose worker vanished with it; None: interrupted."""
