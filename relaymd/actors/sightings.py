"""What the providers last said of our allocations; in memory, for it is soon old."""

from collections.abc import Mapping

from relaymd.core.ids import AllocationId
from relaymd.core.reaping import Evidence


class Sightings:
    """Written by the provisioner, read by the reaper. What was never seen is unknown."""

    def __init__(self) -> None:
        self._seen: dict[AllocationId, Evidence] = {}

    def note(self, seen: Mapping[AllocationId, Evidence]) -> None:
        self._seen.update(seen)

    def of(self, allocation: AllocationId | None) -> Evidence:
        if allocation is None:
            return Evidence.UNKNOWN
        return self._seen.get(allocation, Evidence.UNKNOWN)

    def retain(self, allocations: frozenset[AllocationId]) -> None:
        """Forget all others."""
        self._seen = {id: seen for id, seen in self._seen.items() if id in allocations}
