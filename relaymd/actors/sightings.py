"""What the providers last said of our allocations; in memory, for it is soon old."""

from collections.abc import Mapping

from relaymd.core.allocation import Sighting, Whereabouts
from relaymd.core.ids import AllocationId, UnixTime
from relaymd.core.provisioning import Outlook
from relaymd.core.reaping import Evidence, evidence
from relaymd.core.resources import Requirements


class Sightings:
    """Written by the provisioner, read by others. What was never seen is unknown."""

    def __init__(self) -> None:
        self._seen: dict[AllocationId, Sighting] = {}
        self.outlooks: Mapping[Requirements, Outlook] = {}
        """What each class of waiting jobs can hope for, by the latest plan."""

    def note(self, seen: Mapping[AllocationId, Sighting]) -> None:
        self._seen.update(seen)

    def of(self, allocation: AllocationId | None) -> Evidence:
        sighting = self.latest(allocation)
        return Evidence.UNKNOWN if sighting is None else evidence(sighting)

    def latest(self, allocation: AllocationId | None) -> Sighting | None:
        return None if allocation is None else self._seen.get(allocation)

    def expected(self) -> Mapping[AllocationId, UnixTime]:
        """When those that wait are believed to start, where anybody believes so."""
        return {
            id: sighting.estimated_start
            for id, sighting in self._seen.items()
            if sighting.where is Whereabouts.PENDING and sighting.estimated_start is not None
        }

    def says(self) -> Mapping[AllocationId, str]:
        """Why those that wait do, in their provider's words."""
        return {
            id: sighting.reason
            for id, sighting in self._seen.items()
            if sighting.where is Whereabouts.PENDING and sighting.reason
        }

    def retain(self, allocations: frozenset[AllocationId]) -> None:
        """Forget all others."""
        self._seen = {id: seen for id, seen in self._seen.items() if id in allocations}
