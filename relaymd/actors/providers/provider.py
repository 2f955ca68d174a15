"""What the provisioner needs of whoever has computers."""

from collections.abc import Collection, Mapping
from typing import Protocol

import msgspec

from relaymd.core.ids import AllocationId
from relaymd.core.provisioning import Allocation, Offer
from relaymd.core.reaping import Evidence


class ProviderError(Exception):
    """The provider did not do it, and says why; whether it did a part of it is not known."""


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of one allocation. An error of the provider is `unknown`."""

    evidence: Evidence
    reason: str = ""
    """How it ended, where it has."""


class Provider(Protocol):
    """One source of one kind of allocation, such as a SLURM partition or this machine.

    No method may take longer than its own time-out; what fails raises ProviderError.
    """

    def offer(self) -> Offer:
        """What one allocation of this provider is, and how many there may be."""
        ...

    async def submit(self, id: AllocationId) -> str:
        """Ask for one allocation under our id; returns the provider's own name for it."""
        ...

    async def observe(self, allocations: Collection[Allocation]) -> Mapping[AllocationId, Sighting]:
        """The state of these; those it cannot tell of are absent or unknown, never gone."""
        ...

    async def cancel(self, allocation: Allocation) -> None:
        """Take it back, gently: its worker gets SIGTERM. Twice is once."""
        ...
