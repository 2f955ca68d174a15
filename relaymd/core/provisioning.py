"""Demand against capacity: what to submit to which provider, and what to take back.

This page plans over whole states: the classes of waiting jobs, the seats that are idle, the
allocations that are on their way. One queued job never causes two allocations.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from relaymd.core.allocation import Allocation, AllocationState
from relaymd.core.clusters import Strategy
from relaymd.core.ids import AllocationId
from relaymd.core.resources import ProviderKind, Requirements, Seat, misfit, surplus


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

    closed: str = ""
    """Why nothing may be asked of it now; empty: it may."""


class Submit(msgspec.Struct, frozen=True):
    cluster: str
    count: int
    reason: str


class Withdraw(msgspec.Struct, frozen=True):
    """Take back an allocation that has not become a worker and is not needed."""

    allocation: AllocationId


ProvisionCommand: TypeAlias = Submit | Withdraw


def plan(
    demand: Mapping[Requirements, int],
    idle: Collection[Seat],
    allocations: Collection[Allocation],
    offers: Sequence[Offer],
) -> list[ProvisionCommand]:
    """What to do now.

    demand: waiting jobs of each class. idle: seats of workers that take work. allocations: all
    that have not ended. offers: in no order; they are used by rank, then by name.
    """
    ranked = sorted(offers, key=lambda offer: (offer.provider.rank, offer.cluster))
    coming = {offer.cluster: _coming(offer, allocations) for offer in ranked}
    room = {offer.cluster: max(offer.limit - _live(offer, allocations), 0) for offer in ranked}
    spare_seats = list(idle)
    spare_coming = {offer.cluster: coming[offer.cluster] * offer.slots for offer in ranked}
    wanted: dict[str, int] = {}
    for need, fitting in _pickiest_first(demand, ranked):
        left = _take_idle(need, demand[need], spare_seats)
        left = _take_coming(left, fitting, spare_coming)
        for offer in fitting:
            if left <= 0 or offer.closed:
                continue
            new = min(-(-left // offer.slots), room[offer.cluster])
            room[offer.cluster] -= new
            wanted[offer.cluster] = wanted.get(offer.cluster, 0) + new
            spare_coming[offer.cluster] += max(new * offer.slots - left, 0)
            left -= new * offer.slots
    submits = [
        Submit(cluster, count, f"{sum(demand.values())} jobs wait")
        for cluster, count in wanted.items()
        if count > 0
    ]
    return [*submits, *_surplus(ranked, spare_coming, allocations)]


def _coming(offer: Offer, allocations: Collection[Allocation]) -> int:
    return sum(
        allocation.cluster == offer.cluster and _is_coming(allocation) for allocation in allocations
    )


def _is_coming(allocation: Allocation) -> bool:
    return allocation.is_coming


def _live(offer: Offer, allocations: Collection[Allocation]) -> int:
    return sum(
        allocation.cluster == offer.cluster and allocation.state is not AllocationState.ENDED
        for allocation in allocations
    )


def _pickiest_first(
    demand: Iterable[Requirements], offers: Sequence[Offer]
) -> list[tuple[Requirements, list[Offer]]]:
    """The classes and the offers that fit them: who can go anywhere leaves room to who cannot."""
    fits = [
        (need, [offer for offer in offers if misfit(need, offer.template) is None])
        for need in demand
    ]
    return sorted(fits, key=lambda fit: len(fit[1]))


def _take_idle(need: Requirements, waiting: int, spare: list[Seat]) -> int:
    """How many of the waiting find no idle seat; the seats they find are taken from `spare`."""
    fitting = [seat for seat in spare if misfit(need, seat) is None]
    # As the scheduler would: a job that needs no GPU leaves those seats to whoever does.
    for seat in sorted(fitting, key=lambda seat: surplus(need, seat))[:waiting]:
        spare.remove(seat)
        waiting -= 1
    return waiting


def _take_coming(waiting: int, offers: Sequence[Offer], spare: dict[str, int]) -> int:
    """How many of the waiting are left when all that is on its way, anywhere, has been taken.

    Before anything new is asked for: a better place is no reason to ask a second time.
    """
    for offer in offers:
        covered = min(waiting, spare[offer.cluster])
        spare[offer.cluster] -= covered
        waiting -= covered
    return waiting


def _surplus(
    offers: Sequence[Offer],
    spare: Mapping[str, int],
    allocations: Collection[Allocation],
) -> list[Withdraw]:
    """The youngest coming allocations that no waiting job needs any more."""
    commands: list[Withdraw] = []
    for offer in offers:
        pending = sorted(
            (
                allocation
                for allocation in allocations
                if allocation.cluster == offer.cluster and _is_coming(allocation)
            ),
            key=lambda allocation: (allocation.requested_at, allocation.id),
        )
        unneeded = min(spare[offer.cluster] // offer.slots, len(pending))
        commands += [Withdraw(allocation.id) for allocation in pending[len(pending) - unneeded :]]
    return commands
