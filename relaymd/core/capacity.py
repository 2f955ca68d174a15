"""Places for jobs by kind: idle seats, and allocations that will bring seats."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import IntEnum

import msgspec

from relaymd.core.allocation import Allocation, AllocationState
from relaymd.core.ids import AllocationId, UnixTime
from relaymd.core.provisioning import Offer, PlanningPolicy, Supply
from relaymd.core.resources import ProviderKind, Seat


class Stage(IntEnum):
    """In which order places are filled."""

    IDLE = 0
    COMING = 1
    LATE = 2
    """On its way, but not within the time that Salad is kept out."""

    OVERFLOW = 3
    """On its way from Salad."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Places that no job could tell apart."""

    stage: Stage
    seat: Seat
    """One of them, or the template of its offer."""

    places: int
    slots: int = 1
    """Places that one worker has."""

    seats: tuple[Seat, ...] = ()
    """Idle seats, those to be used last at the end."""

    offer: Offer | None = None
    allocations: tuple[Allocation, ...] = ()
    """On their way; the one that is best kept first."""


def kinds(
    supply: Supply, offers: Sequence[Offer], *, now: UnixTime, policy: PlanningPolicy
) -> list[Kind]:
    """All places that count, in the order in which they are filled. offers: by preference."""
    walls = {offer.cluster: offer.wall_seconds for offer in offers}
    lasting = [seat for seat in supply.idle if lasts(seat, walls, now=now, policy=policy)]
    found = [*_idle(lasting), *_coming(supply, offers, now=now, policy=policy)]
    return sorted(found, key=lambda kind: kind.stage)


def lasts(
    seat: Seat, walls: Mapping[str, float | None], *, now: UnixTime, policy: PlanningPolicy
) -> bool:
    """Whether a seat is worth a job: one whose allocation ends at once is not."""
    if seat.deadline is None:
        return True
    wall = walls.get(seat.cluster)
    margin = policy.ending if wall is None else min(policy.ending, wall / 4)
    return seat.deadline - now > margin


def alike(seat: Seat) -> object:
    """All of a seat that a job's fit and a preference look at."""
    gpus = tuple((gpu.model, gpu.vram_gb) for gpu in seat.gpus)
    return (seat.provider, seat.cluster, seat.image, seat.platforms, gpus)


def groups(seats: Collection[Seat]) -> list[list[Seat]]:
    found: dict[object, list[Seat]] = {}
    for seat in seats:
        found.setdefault(alike(seat), []).append(seat)
    return [*found.values()]


def is_coming(allocation: Allocation, offer: Offer, manned: Collection[AllocationId]) -> bool:
    """Whether it will bring a worker: its first, or where it outlives them, another."""
    if allocation.state is AllocationState.ACTIVE:
        return offer.outlives_worker and allocation.id not in manned
    return allocation.is_coming


def staying(supply: Supply) -> Iterator[Allocation]:
    """All but those that nobody can see."""
    unseen = frozenset(supply.unseen)
    return (one for one in supply.allocations if one.id not in unseen)


def _idle(seats: Collection[Seat]) -> list[Kind]:
    found = [
        Kind(
            stage=Stage.IDLE,
            seat=same[0],
            places=len(same),
            slots=max(Counter(seat.worker for seat in same).values()),
            seats=tuple(same),
        )
        for same in groups(sorted(seats, key=lambda seat: (seat.worker, seat.slot)))
    ]
    return sorted(found, key=lambda kind: (kind.seat.provider.rank, kind.seat.cluster))


def _coming(
    supply: Supply, offers: Sequence[Offer], *, now: UnixTime, policy: PlanningPolicy
) -> list[Kind]:
    by_offer: dict[tuple[str, str | None], list[Allocation]] = {}
    for allocation in staying(supply):
        by_offer.setdefault((allocation.cluster, allocation.image), []).append(allocation)
    manned = frozenset(supply.manned)
    found: list[Kind] = []
    for offer in offers:
        stages: dict[Stage, list[Allocation]] = {}
        for one in by_offer.get((offer.cluster, offer.template.image), ()):
            if is_coming(one, offer, manned):
                expected = supply.expected.get(one.id)
                stages.setdefault(_stage(one, offer, expected, now, policy), []).append(one)
        found += [_kind(stage, offer, held) for stage, held in stages.items()]
    return found


def _kind(stage: Stage, offer: Offer, held: Sequence[Allocation]) -> Kind:
    """One that is disabled brings nothing, and all that is on its way there is too much."""
    return Kind(
        stage=stage,
        seat=offer.template,
        places=0 if offer.disabled else len(held) * offer.slots,
        slots=offer.slots,
        offer=offer,
        allocations=tuple(sorted(held, key=lambda one: (one.is_pending, one.requested_at, one.id))),
    )


def _stage(
    allocation: Allocation,
    offer: Offer,
    expected: UnixTime | None,
    now: UnixTime,
    policy: PlanningPolicy,
) -> Stage:
    if offer.provider is ProviderKind.SALAD:
        return Stage.OVERFLOW
    if offer.provider is ProviderKind.LOCAL or not allocation.is_pending:
        return Stage.COMING
    starts = max(now, expected) if expected is not None else now
    late = starts - allocation.requested_at >= policy.overflow_after
    return Stage.LATE if late else Stage.COMING
