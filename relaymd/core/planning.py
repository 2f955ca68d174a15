"""Demand against capacity: what to ask of which provider, and what to take back.

A pass looks at whole states and decides in this order:

1.  Jobs are matched to idle seats and to allocations on their way, as many as can be.
2.  For who is left the clusters are asked, as their strategies allow: the class that has least
    goes first.
3.  Salad is asked for what no cluster starts in time, and this machine for the rest.
4.  What is on its way and matched by nothing is taken back.

No queued job causes two allocations of clusters. One that a cluster lets wait may cause one of
Salad beside: whichever comes second is taken back (docs/decisions/0009-overflow-beside.md).
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import msgspec

from relaymd.core.allocation import Allocation
from relaymd.core.asking import Asking
from relaymd.core.capacity import Kind, Stage, kinds
from relaymd.core.demand import Demand
from relaymd.core.ids import UnixTime
from relaymd.core.matching import Matching
from relaymd.core.provisioning import (
    Coming,
    Offer,
    Outlook,
    Plan,
    PlanningPolicy,
    Retire,
    Submit,
    Supply,
    Withdraw,
)
from relaymd.core.resources import ProviderKind, Requirements, surplus
from relaymd.core.wide import width

GOLDEN = 0.618034
"""Multiples of it, without their whole part, are spread evenly however many there are."""


def plan(
    demand: Collection[Demand],
    supply: Supply,
    offers: Collection[Offer],
    *,
    now: UnixTime,
    policy: PlanningPolicy,
) -> Plan:
    """What to do now. Neither the order of the classes nor that of the offers matters."""
    classes = sorted(demand, key=_turn)
    choices = sorted(offers, key=_preference)
    return _Pass(classes, supply, choices, now, policy).plan()


class _Pass:
    """One pass: what is there, what is asked for, what is taken back."""

    def __init__(
        self,
        classes: Sequence[Demand],
        supply: Supply,
        offers: Sequence[Offer],
        now: UnixTime,
        policy: PlanningPolicy,
    ) -> None:
        self._classes = classes
        self._members = range(len(classes))
        self._supply = supply
        self._offers = offers
        self._kinds = kinds(supply, offers, now=now, policy=policy)
        self._widths = [self._width(demand.need) for demand in classes]
        self._matching = self._match(tuple(Stage))
        self._asking = Asking(classes, supply, offers, now=now, policy=policy)

    def plan(self) -> Plan:
        left = self._ask()
        return Plan(
            commands=(*self._submits(), *self._withdrawals(), *self._retirements()),
            outlooks={
                need: msgspec.structs.replace(outlook, ahead=ahead) if ahead else outlook
                for member, demand in enumerate(self._classes)
                for outlook in [self._outlook(member, left[member])]
                for need, ahead in demand.ahead()
            },
        )

    # -- what is there

    def _width(self, need: Requirements) -> dict[int, int]:
        """How many places of each kind a job of the class takes, the preferred kind first."""
        fitting = [
            (kind.stage, taken, surplus(need, kind.seat), number)
            for number, kind in enumerate(self._kinds)
            if (taken := width(need, kind.seat, kind.slots))
        ]
        return {number: taken for _, taken, _, number in sorted(fitting)}

    def _fits(self, member: int) -> list[int]:
        return [number for number, taken in self._widths[member].items() if taken == 1]

    def _match(self, stages: Collection[Stage]) -> Matching:
        """Fill the places of these stages, one stage after the other."""
        matching = Matching([0] * len(self._kinds), len(self._classes))
        for stage in sorted(stages):
            for number, kind in enumerate(self._kinds):
                if kind.stage is stage:
                    matching.open(number, kind.places)
            for member, demand in enumerate(self._classes):
                matching.add(member, demand.waiting - matching.has(member), self._fits(member))
            self._match_wide(matching)
        return matching

    def _match_wide(self, matching: Matching) -> None:
        """Those that take several places each get what the others left."""
        for member, demand in enumerate(self._classes):
            for kind, taken in self._widths[member].items():
                if taken > 1:
                    left = demand.waiting - matching.has(member)
                    matching.add_wide(member, left, kind, taken)

    def _has(self, member: int, stage: Stage) -> int:
        taken = self._matching.places(member).items()
        return sum(count for number, count in taken if self._kinds[number].stage is stage)

    # -- what is asked for

    def _ask(self) -> list[int]:
        """Ask the clusters, Salad and this machine, in this order; how many are left without."""
        has = [self._matching.has(member) for member in self._members]
        served = [self._classes[member].running + has[member] for member in self._members]
        left = [self._classes[member].waiting - has[member] for member in self._members]
        left = self._asking.ask(left, served, self._tier(ProviderKind.SLURM))
        beside = self._beside()
        wanted = [beside[member] + self._overdue(member, left[member]) for member in self._members]
        waits = self._asking.ask(wanted, served, self._tier(ProviderKind.SALAD))
        got = [wanted[member] - waits[member] for member in self._members]
        left = [max(left[member] - got[member], 0) for member in self._members]
        return self._asking.ask(left, served, self._tier(ProviderKind.LOCAL))

    def _tier(self, provider: ProviderKind) -> list[int]:
        return [n for n, offer in enumerate(self._offers) if offer.provider is provider]

    def _beside(self) -> list[int]:
        """How many of each class a cluster lets wait, and nothing of Salad is on its way for."""
        late = [self._has(member, Stage.LATE) for member in self._members]
        salad = Matching(
            [
                self._matching.spare[number] if kind.stage is Stage.OVERFLOW else 0
                for number, kind in enumerate(self._kinds)
            ],
            len(self._classes),
        )
        return [count - salad.add(n, count, self._fits(n)) for n, count in enumerate(late)]

    def _overdue(self, member: int, left: int) -> int:
        """How many of those without a place have waited long enough for Salad."""
        demand = self._classes[member]
        if not any(self._asking.fits(member, n) for n in self._tier(ProviderKind.SLURM)):
            return left
        known = self._has(member, Stage.LATE) + self._has(member, Stage.OVERFLOW)
        return min(left, max(demand.overdue - known, 0))

    def _submits(self) -> Iterator[Submit]:
        for number, offer in enumerate(self._offers):
            live = sum(one.cluster == offer.cluster for one in self._supply.allocations)
            jobs = sum(asked.get(number, 0) for asked in self._asking.asked)
            for count in range(self._asking.new[number]):
                yield Submit(
                    cluster=offer.cluster,
                    image=offer.template.image,
                    wall_seconds=_wall(offer, live + count),
                    reason=f"for {jobs} jobs that wait",
                )

    # -- what is taken back

    def _withdrawals(self) -> Iterator[Withdraw]:
        """What is matched by nobody, the youngest first.

        Salad's are kept also where a cluster's would do: who comes first is not yet known.
        """
        without_clusters = self._match((Stage.IDLE, Stage.OVERFLOW))
        for offer in self._offers:
            spare, held = 0, list[Allocation]()
            for number, kind in enumerate(self._kinds):
                if kind.offer is offer:
                    overflow = kind.stage is Stage.OVERFLOW
                    spare += (without_clusters if overflow else self._matching).spare[number]
                    held += kind.allocations
            held.sort(key=lambda one: (one.is_pending, one.requested_at, one.id))
            unneeded = len(held) if offer.disabled else spare // offer.slots
            yield from (Withdraw(one.id) for one in held[len(held) - unneeded :])

    def _retirements(self) -> Iterator[Retire]:
        """Workers with nothing to do, where that costs."""
        costly = {offer.cluster for offer in self._offers if offer.outlives_worker}
        busy = Counter(seat.worker for seat in self._supply.seats)
        busy.subtract(seat.worker for seat in self._supply.idle)
        for number, kind in enumerate(self._kinds):
            if kind.stage is not Stage.IDLE or kind.seat.cluster not in costly:
                continue
            spare = self._matching.spare[number]
            workers = Counter(seat.worker for seat in kind.seats)
            for worker, slots in sorted(workers.items(), reverse=True):
                if slots <= spare and not busy[worker]:
                    spare -= slots
                    yield Retire(worker)

    # -- what it looks like to who waits

    def _outlook(self, member: int, left: int) -> Outlook:
        coming = [
            self._on_its_way(self._kinds[number], count)
            for number, count in self._matching.places(member).items()
            if self._kinds[number].stage is not Stage.IDLE
        ]
        return Outlook(
            idle=self._has(member, Stage.IDLE),
            coming=tuple(coming),
            asked=tuple(
                (self._offers[number].cluster, count)
                for number, count in self._asking.asked[member].items()
            ),
            obstacles=tuple(self._obstacles(member)) if left > 0 else (),
        )

    def _on_its_way(self, kind: Kind, jobs: int) -> Coming:
        times = [self._supply.expected.get(one.id) for one in kind.allocations]
        words = [self._supply.says.get(one.id, "") for one in kind.allocations]
        return Coming(
            cluster=kind.seat.cluster,
            jobs=jobs,
            pending=all(one.is_pending for one in kind.allocations),
            expected=min((at for at in times if at is not None), default=None),
            says=next((said for said in words if said), ""),
        )

    def _obstacles(self, member: int) -> Iterator[str]:
        for number, offer in enumerate(self._offers):
            reason = self._asking.why_not(member, number)
            if not reason and offer.provider is ProviderKind.SALAD:
                reason = "its turn comes when the job has waited longer (overflow_after_seconds)"
            if reason:
                image = offer.template.image
                yield f"{offer.cluster}{f' ({image})' if image else ''}: {reason}"


def _turn(demand: Demand) -> tuple[object, ...]:
    """Who is matched first: by priority, then who has least, then whose turn is longest ago."""
    return (-demand.priority, demand.running, -demand.patience, msgspec.json.encode(demand.need))


def _preference(offer: Offer) -> tuple[object, ...]:
    return (offer.provider.rank, offer.cluster, offer.template.image or "")


def _wall(offer: Offer, number: int) -> float | None:
    """The wall time of a cluster's so many-th allocation, so that not all end at once."""
    if offer.wall_seconds is None:
        return None
    share = (number * GOLDEN) % 1.0 * offer.wall_spread
    return float(int(offer.wall_seconds * (1.0 - share)))
