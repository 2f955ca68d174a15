"""What the provisioner needs of whoever has computers. docs/providers.md shows how to write one."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from relaymd.core.allocation import Allocation, Sighting
from relaymd.core.ids import AllocationId
from relaymd.core.provisioning import Offer


class ProviderError(Exception):
    """The provider did not do it, and says why; whether it did a part of it is not known.

    retry_after: seconds for which it wants to be left alone, where it said so.
    """

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class ProviderRefusedError(ProviderError):
    """The provider certainly did not do it, such as for a quota or a wrong partition."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider wants to be treated. Seconds."""

    call_within: float = 60.0
    """The longest one call may take; the provisioner gives it up then."""

    look_every: float = 10.0
    """Between two looks at its allocations."""

    outlives_worker: bool = False
    """Whether an allocation stays, and costs, when its worker has left: it must be cancelled."""


class Provider(Protocol):
    """One source of allocations, such as a SLURM partition or this machine.

    What fails raises ProviderError. A call that takes longer than `call_within` is cancelled;
    calls of one provider overlap only as observe beside submit or cancel.
    """

    @property
    def cluster(self) -> str:
        """Its name, as jobs give it."""
        ...

    def capabilities(self) -> Capabilities: ...

    def offers(self) -> Sequence[Offer]:
        """What an allocation of it can be, and how many there may be; the preferred first."""
        ...

    async def submit(self, allocation: Allocation) -> str:
        """Ask for it under our id; returns the provider's own name for it.

        Its `image` and `wall_seconds` say what to ask for.
        """
        ...

    async def observe(self, allocations: Collection[Allocation]) -> Mapping[AllocationId, Sighting]:
        """The state of these; those it cannot tell of are absent or unknown, never gone."""
        ...

    async def cancel(self, allocation: Allocation) -> None:
        """Take it back, gently: its worker gets SIGTERM. Twice is once."""
        ...
