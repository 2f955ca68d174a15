"""Gathers what there is and what waits, has it planned, and tells people of it."""

from collections.abc import Collection, Iterator, Mapping

import msgspec

from relaymd.actors.accounts import Accounts
from relaymd.actors.ledger import Ledger
from relaymd.actors.liaison import Liaison
from relaymd.actors.presence import Presence
from relaymd.actors.sightings import Sightings
from relaymd.bus import operating
from relaymd.core.allocation import Allocation
from relaymd.core.demand import Demand, demands
from relaymd.core.ids import Monotonic, WorkerId
from relaymd.core.likeness import Likeness
from relaymd.core.outlook import sentence
from relaymd.core.planning import plan
from relaymd.core.provisioning import Offer, Plan, PlanningPolicy, Retire, Submit, Supply, Withdraw
from relaymd.core.reaping import Evidence
from relaymd.core.resources import Requirements, Seat
from relaymd.core.worker import Worker


class Planner:
    """Changes nothing but what it remembers of whose turn it was, and what was foreseen."""

    def __init__(
        self,
        ledger: Ledger,
        presence: Presence,
        sightings: Sightings,
        liaisons: Mapping[str, Liaison],
        accounts: Accounts,
        policy: PlanningPolicy,
    ) -> None:
        self._ledger = ledger
        self._presence = presence
        self._sightings = sightings
        self._liaisons = liaisons
        self._accounts = accounts
        self._policy = policy
        self._turns: dict[Requirements, Monotonic] = {}
        self._unneeded: dict[WorkerId, Monotonic] = {}

    def plan(self) -> Plan:
        """What to do now, which is then taken to be done."""
        wanted, found = self._found()
        now = self._presence.clock()
        self._sightings.outlooks = found.outlooks
        self._note_turns(wanted, found, now)
        return msgspec.structs.replace(found, commands=tuple(self._ripe(found, now)))

    def view(self) -> operating.PlanView:
        """What would be done now, for people."""
        wanted, found = self._found()
        now = self._ledger.wall()
        return operating.PlanView(
            commands=tuple(_step(command) for command in found.commands),
            waiting=tuple(
                operating.WaitingClass(
                    need=first.need,
                    jobs=each.waiting,
                    oldest=each.oldest,
                    why=sentence(found.outlooks[first.need], position=each.waiting - 1, now=now),
                    first=first.line[0].id,
                )
                for each in wanted
                for first in each.classes[:1]
            ),
        )

    def clusters(self) -> tuple[operating.ClusterView, ...]:
        return tuple(self._cluster(each) for each in self._liaisons.values())

    def _found(self) -> tuple[list[Demand], Plan]:
        supply, offers = self._supply(), [*self._offers()]
        places = Likeness([*supply.seats, *(offer.template for offer in offers)])
        wanted = self._demand(places)
        now = self._ledger.wall()
        return wanted, plan(wanted, supply, offers, now=now, policy=self._policy)

    def _demand(self, places: Likeness) -> list[Demand]:
        now = self._presence.clock()
        return demands(
            self._ledger.backlog.lines(),
            self._ledger.leased(),
            {need: now - at for need, at in self._turns.items()},
            places,
            now=self._ledger.wall(),
            overflow_after=self._policy.overflow_after,
        )

    def _note_turns(self, wanted: Collection[Demand], found: Plan, now: Monotonic) -> None:
        """By what the jobs themselves need: which of them are alike changes with the workers."""
        lines = self._ledger.backlog.lines()
        self._turns = {need: at for need, at in self._turns.items() if need in lines}
        for demand in wanted:
            if found.outlooks[demand.classes[0].need].asked:
                self._turns |= {each.need: now for each in demand.classes}

    def _supply(self) -> Supply:
        taken = {
            (job.lease.worker, slot)
            for job in self._ledger.leased()
            if job.lease is not None
            for slot in job.lease.slots
        }
        there = [seat for worker in self._workers() for seat in self._seats(worker)]
        allocations = self._ledger.allocations.values()
        manned = {self._ledger.allocation_of(id) for id in self._ledger.workers}
        return Supply(
            seats=there,
            idle=[seat for seat in there if (seat.worker, seat.slot) not in taken],
            allocations=[*allocations],
            manned=[one.id for one in allocations if one.id in manned],
            unseen=[one.id for one in allocations if self._is_uncertain(one)],
            expected=self._sightings.expected(),
            says=self._sightings.says(),
        )

    def _is_uncertain(self, allocation: Allocation) -> bool:
        """Whether nobody can say if it still is there.

        What is being taken back still counts: until it is gone nothing is asked in its place.
        """
        liaison = self._liaisons.get(allocation.cluster)
        return liaison is None or liaison.is_silent()

    def _workers(self) -> Iterator[Worker]:
        """Those that take work, or will in a moment."""
        for worker in self._ledger.workers.values():
            gone = self._sightings.of(self._ledger.allocation_of(worker.id)) is Evidence.GONE
            away = gone or self._presence.is_disconnected(worker.id)
            if not worker.leaving and not away and self._ledger.quarantine(worker) is None:
                yield worker

    def _seats(self, worker: Worker) -> Iterator[Seat]:
        """With the end that the provider knows, where the worker does not."""
        home = self._ledger.allocation_of(worker.id)
        allocation = self._ledger.allocations.get(home) if home is not None else None
        end = allocation.deadline if allocation is not None else None
        for seat in self._ledger.seats_of(worker.id):
            yield seat if end is None else msgspec.structs.replace(seat, deadline=end)

    def _offers(self) -> Iterator[Offer]:
        for liaison in self._liaisons.values():
            switch = self._ledger.switches.get(liaison.cluster)
            for offer in liaison.offers():
                disabled = offer.disabled
                if switch is not None:
                    by = f" by {switch.by}" if switch.by else ""
                    enable = f"relaymd clusters enable {liaison.cluster}"
                    disabled = "" if switch.enabled else f"it was disabled{by} ({enable})"
                yield msgspec.structs.replace(
                    offer,
                    disabled=disabled,
                    closed=offer.closed or liaison.closed(),
                    outlives_worker=liaison.manner.outlives_worker,
                )

    def _ripe(self, found: Plan, now: Monotonic) -> Iterator[Submit | Withdraw | Retire]:
        """All but the workers that have been without use for a moment only."""
        idle = {each.worker for each in found.commands if isinstance(each, Retire)}
        self._unneeded = {worker: self._unneeded.get(worker, now) for worker in idle}
        rest = self._policy.retire_after
        ripe = {worker for worker in idle if now - self._unneeded[worker] >= rest}
        for command in found.commands:
            if not isinstance(command, Retire) or command.worker in ripe:
                yield command

    def _cluster(self, liaison: Liaison) -> operating.ClusterView:
        offers = [one for one in self._offers() if one.cluster == liaison.cluster]
        allocations = self._accounts.of(liaison)
        seen_at = liaison.seen_at
        ago = self._presence.clock() - seen_at if seen_at is not None else None
        return operating.ClusterView(
            cluster=liaison.cluster,
            offers=tuple(offers),
            disabled=offers[0].disabled if offers else "",
            closed=offers[0].closed if offers else liaison.closed(),
            allocations=tuple(
                operating.AllocationView(
                    allocation=one,
                    says=sighting.reason if (sighting := self._sightings.latest(one.id)) else "",
                    expected=sighting.estimated_start if sighting else None,
                    withdrawn=self._accounts.is_withdrawn(one.id),
                )
                for one in allocations
            ),
            workers=sum(one.cluster == liaison.cluster for one in self._ledger.workers.values()),
            seen_ago=ago,
        )


def _step(command: Submit | Withdraw | Retire) -> operating.PlannedStep:
    match command:
        case Submit(cluster=cluster, image=image, wall_seconds=wall, reason=reason):
            return operating.PlannedStep(
                what="submit", cluster=cluster, image=image, wall_seconds=wall, reason=reason
            )
        case Withdraw(allocation=id):
            reason = "no job that waits needs it"
            return operating.PlannedStep(what="withdraw", allocation=id, reason=reason)
        case Retire(worker=id):
            reason = "no job waits that it could take"
            return operating.PlannedStep(what="retire", worker=id, reason=reason)
