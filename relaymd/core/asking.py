"""What is asked for on behalf of whom: the class that has least goes first."""

import heapq
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from relaymd.core.capacity import groups, is_coming, lasts, staying
from relaymd.core.clusters import Strategy
from relaymd.core.demand import Demand
from relaymd.core.ids import UnixTime
from relaymd.core.provisioning import Offer, PlanningPolicy, Supply
from relaymd.core.resources import Seat
from relaymd.core.wide import shortfall, width

Rank: TypeAlias = tuple[int, int, int, float, int]
"""Choices, urgency, what it has, age; and the class, which decides between equals."""


class Asking:
    """Keeps account of what may still be asked of each cluster, and of what is asked.

    asked[class][offer]: for how many of its jobs. new[offer]: allocations.
    """

    def __init__(
        self,
        demand: Sequence[Demand],
        supply: Supply,
        offers: Sequence[Offer],
        *,
        now: UnixTime,
        policy: PlanningPolicy,
    ) -> None:
        self._demand = demand
        self._offers = offers
        self._room = {offer.cluster: _room(offer, supply) for offer in offers}
        self._queue = {offer.cluster: _queue(offer, supply) for offer in offers}
        self._present = _present(supply, offers, now, policy)
        self._widths = [self._fitting(each) for each in demand]
        self._refusals = [
            {offer: self._refusal(each, offers[offer]) for offer in fitting}
            for each, fitting in zip(demand, self._widths, strict=True)
        ]
        """For each offer that fits, why it may not be asked however much room it has."""

        self._spare = [0] * len(offers)
        self.new = [0] * len(offers)
        self.asked: list[dict[int, int]] = [{} for _ in demand]

    def ask(self, left: Sequence[int], served: Sequence[int], tier: Collection[int]) -> list[int]:
        """Ask offers of a tier for as many as are left of each class; who is left after that.

        served: jobs of each class that run, or have a place.
        """
        left, served = [*left], [*served]
        while queue := self._order(left, served, tier):
            full = False
            while queue and not full:
                *_, member = heapq.heappop(queue)
                got, full = self._one(member, left[member], tier)
                left[member] -= got
                served[member] += got
                if got and left[member] > 0:
                    heapq.heappush(queue, self._rank(member, served[member], tier))
        return left

    def fits(self, member: int, offer: int) -> bool:
        return offer in self._refusals[member]

    def why_not(self, member: int, offer: int) -> str:
        """Why nothing is asked of the offer for this class; empty: it may be."""
        one = self._offers[offer]
        if offer not in self._refusals[member]:
            return shortfall(self._demand[member].need, one.template, one.slots)
        if refusal := self._refusals[member][offer]:
            return refusal
        if self._room[one.cluster] <= 0:
            return f"its limit of {one.limit} allocations is reached (max_allocations)"
        if self._queue[one.cluster] <= 0:
            return f"{one.max_pending} allocations wait in its queue already (max_pending_jobs)"
        return ""

    def _order(
        self, left: Sequence[int], served: Sequence[int], tier: Collection[int]
    ) -> list[Rank]:
        members = (member for member, count in enumerate(left) if count > 0)
        ranks = [self._rank(member, served[member], tier) for member in members]
        queue = [rank for rank in ranks if rank[0]]
        heapq.heapify(queue)
        return queue

    def _rank(self, member: int, served: int, tier: Collection[int]) -> Rank:
        """Who has fewest choices goes first, then who has least, then whose turn is longest ago.

        Who has a choice loses nothing by being late: another place is left to him.
        """
        demand = self._demand[member]
        choices = sum(
            offer in tier and (self._has_spare(member, offer) or self._is_open(offer, refusal))
            for offer, refusal in self._refusals[member].items()
        )
        return (choices, -demand.priority, served, -demand.patience, member)

    def _one(self, member: int, left: int, tier: Collection[int]) -> tuple[int, bool]:
        """One step for a class: for how many of its jobs, and whether a cluster became full."""
        fitting = [item for item in self._refusals[member].items() if item[0] in tier]
        for offer, _ in fitting:
            if self._has_spare(member, offer):
                return self._take(member, offer, left), False
        for offer, refusal in fitting:
            if self._is_open(offer, refusal):
                full = self._add(offer)
                return self._take(member, offer, left), full
        return 0, False

    def _has_spare(self, member: int, offer: int) -> bool:
        return self._spare[offer] >= self._widths[member][offer]

    def _is_open(self, offer: int, refusal: str) -> bool:
        cluster = self._offers[offer].cluster
        return not refusal and self._room[cluster] > 0 and self._queue[cluster] > 0

    def _add(self, offer: int) -> bool:
        """Ask for one allocation more; whether the cluster is full with it."""
        one = self._offers[offer]
        self.new[offer] += 1
        self._spare[offer] += one.slots
        self._room[one.cluster] -= 1
        self._queue[one.cluster] -= 1
        return not self._is_open(offer, "")

    def _take(self, member: int, offer: int, left: int) -> int:
        width = self._widths[member][offer]
        got = min(left, self._spare[offer] // width)
        self._spare[offer] -= got * width
        self.asked[member][offer] = self.asked[member].get(offer, 0) + got
        return got

    def _fitting(self, demand: Demand) -> dict[int, int]:
        """The offers that fit, and how many slots of their workers a job takes."""
        widths = (width(demand.need, offer.template, offer.slots) for offer in self._offers)
        return {number: taken for number, taken in enumerate(widths) if taken}

    def _refusal(self, demand: Demand, offer: Offer) -> str:
        if offer.disabled or offer.closed:
            return offer.disabled or offer.closed
        if offer.strategy is Strategy.CONTINUOUS:
            return ""
        if offer.strategy is Strategy.JIT_THRESHOLD and demand.oldest < offer.jit_threshold:
            hours = offer.jit_threshold / 3600
            return f"it is asked once a job has waited {hours:g} h (strategy jit_threshold)"
        present = self._present.get(offer.cluster, ())
        if any(width(demand.need, seat, offer.slots) for seat in present):
            return f"it has, or will have, a worker for such jobs (strategy {offer.strategy})"
        return ""


def _room(offer: Offer, supply: Supply) -> int:
    return offer.limit - sum(one.cluster == offer.cluster for one in supply.allocations)


def _queue(offer: Offer, supply: Supply) -> int:
    """How many more may wait in the cluster's queue."""
    if offer.max_pending is None:
        return offer.limit
    waiting = (one.cluster == offer.cluster and one.is_pending for one in supply.allocations)
    return offer.max_pending - sum(waiting)


def _present(
    supply: Supply, offers: Sequence[Offer], now: UnixTime, policy: PlanningPolicy
) -> Mapping[str, Sequence[Seat]]:
    """A seat of each kind that a cluster has, or that is on its way to it."""
    walls = {offer.cluster: offer.wall_seconds for offer in offers}
    lasting = [seat for seat in supply.seats if lasts(seat, walls, now=now, policy=policy)]
    found: dict[str, list[Seat]] = {}
    for same in groups(lasting):
        found.setdefault(same[0].cluster, []).append(same[0])
    manned = frozenset(supply.manned)
    for offer in offers:
        if any(
            (one.cluster, one.image) == (offer.cluster, offer.template.image)
            and is_coming(one, offer, manned)
            for one in staying(supply)
        ):
            found.setdefault(offer.cluster, []).append(offer.template)
    return found
