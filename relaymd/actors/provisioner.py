"""Turns demand into allocations on providers, and keeps account of them."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

import structlog

from relaymd.actors import pushes
from relaymd.actors.accounts import Accounts
from relaymd.actors.actor import Actor
from relaymd.actors.bell import Bell
from relaymd.actors.commits import LedgerUnavailableError
from relaymd.actors.endings import retire
from relaymd.actors.ledger import Ledger
from relaymd.actors.liaison import Ask, Liaison, TakeBack
from relaymd.actors.planner import Planner
from relaymd.actors.presence import Presence
from relaymd.actors.providers.provider import Provider, ProviderError, ProviderRefusedError
from relaymd.actors.sightings import Sightings
from relaymd.bus import contract, operating
from relaymd.bus import messages as m
from relaymd.bus.bus import Bus, RefusedError
from relaymd.bus.subjects import Binding
from relaymd.core.allocation import Allocation
from relaymd.core.clusters import Switch
from relaymd.core.ids import AllocationId, token
from relaymd.core.provisioning import Plan, PlanningPolicy, Retire, Submit, Withdraw

log = structlog.get_logger(__name__)

POLICY = PlanningPolicy()

WIND_DOWN_WITHIN = 1.5
"""Seconds for which what is being asked for is waited for when the stack goes down."""


class Provisioner(Actor):
    """An allocation is written down before it is asked for, so that none is forgotten.

        requested ──► submitted ──► active ──► ended
            └─────────────┴───────────────────────┘

    Asked for under our id: after a crash in between, the provider is asked whether it knows it.
    A turn only reads, decides and writes; each provider is spoken to beside it, by a task of
    its own, so that one that hangs holds up nobody.
    """

    name: ClassVar[str] = "provisioner"
    every: ClassVar[float] = 0.5

    def __init__(
        self,
        bus: Bus,
        ledger: Ledger,
        presence: Presence,
        sightings: Sightings,
        providers: Sequence[Provider],
        *,
        entropy: Callable[[int], bytes],
        policy: PlanningPolicy = POLICY,
    ) -> None:
        """entropy: gives so many random bytes."""
        super().__init__(bus)
        self._ledger = ledger
        self._presence = presence
        self._sightings = sightings
        self._liaisons = {one.cluster: Liaison(one, presence.clock) for one in providers}
        self._entropy = entropy
        self._accounts = Accounts(ledger, sightings)
        self._planner = Planner(ledger, presence, sightings, self._liaisons, self._accounts, policy)
        self._winding_down = False
        self._resting = asyncio.Event()
        self._resting.set()

    def bindings(self) -> Iterable[Binding]:
        yield contract.WIND_DOWN.answered_by(self.wind_down)
        yield contract.CLUSTERS.answered_by(self.clusters)
        yield contract.SWITCH.answered_by(self.switch)
        yield contract.PLAN.answered_by(self.plan)

    def bells(self) -> Iterable[Bell]:
        yield self._ledger.queued

    async def tick(self) -> None:
        for liaison in self._liaisons.values():
            ours = [one for one in self._accounts.of(liaison) if not liaison.is_ordered(one.id)]
            ill = liaison.looks.failures or self._accounts.is_unreachable(liaison)
            if (ours or ill or liaison.manner.outlives_worker) and liaison.is_look_due():
                self.later(self._look(liaison, ours))
        if self._ledger.broken:
            return
        for liaison in self._liaisons.values():
            if liaison.manner.outlives_worker:
                self._accounts.adopt(liaison, self._entropy)
        self._accounts.note_active(self._liaisons)
        if not self._winding_down:
            self._carry_out(self._planner.plan())
        for liaison in self._liaisons.values():
            if liaison.may_work():
                liaison.working = True
                self.later(self._work(liaison))

    def closed(self, cluster: str) -> str:
        """Why nothing is asked of it just now; empty: it may be."""
        return self._liaisons[cluster].closed()

    # -- what people ask

    def wind_down(self, message: operating.WindDown) -> asyncio.Future[m.Done]:
        self._winding_down = True
        return self.answer(self._wound_down())

    def clusters(self, message: operating.ListClusters) -> operating.ClusterList:
        return operating.ClusterList(clusters=self._planner.clusters())

    def switch(self, message: operating.SwitchCluster) -> asyncio.Future[m.Done]:
        if message.cluster not in self._liaisons:
            known = ", ".join(sorted(self._liaisons)) or "none"
            text = f"there is no cluster {message.cluster}; known are {known}"
            raise RefusedError.because(m.RefusalCode.UNKNOWN_CLUSTER, text)
        self._ledger.put_switch(
            Switch(
                cluster=message.cluster,
                enabled=message.enabled,
                by=message.by[:200],
                at=self._ledger.wall(),
            )
        )
        self.soon()
        return self._ledger.settled(m.Done())

    def plan(self, message: operating.AskPlan) -> operating.PlanView:
        return self._planner.view()

    async def _wound_down(self) -> m.Done:
        """Whoever counts the workers next must find all that were asked for."""
        try:
            async with asyncio.timeout(WIND_DOWN_WITHIN):
                await self._resting.wait()
        except TimeoutError:
            log.warning("provisioner.still_asking")
        return m.Done()

    # -- what is decided

    def _carry_out(self, found: Plan) -> None:
        for command in found.commands:
            match command:
                case Submit():
                    self._order(command)
                case Withdraw(allocation=id):
                    self._take_back(id)
                case Retire(worker=id):
                    reason = "no job waits that it could take"
                    retire(self._ledger, self._ledger.workers[id], reason)
                    self.later(pushes.drain(self.bus, id, reason))

    def _order(self, command: Submit) -> None:
        allocation = Allocation(
            id=AllocationId(token("a", self._entropy(8))),
            cluster=command.cluster,
            requested_at=self._ledger.wall(),
            image=command.image,
            wall_seconds=command.wall_seconds,
            avoid=self._ledger.hosts_in_quarantine(command.cluster),
        )
        self._ledger.put_allocation(allocation, "requested", command.reason)
        self._liaisons[command.cluster].orders.append(Ask(allocation.id))

    def _take_back(self, id: AllocationId) -> None:
        allocation = self._ledger.allocations[id]
        liaison = self._liaisons[allocation.cluster]
        if self._accounts.is_withdrawn(id):
            return
        self._accounts.withdraw(id)
        if Ask(id) in [*liaison.orders][1 if liaison.working else 0 :]:
            liaison.orders.remove(Ask(id))
            self._accounts.end(allocation, "it was not needed any more")
        else:
            liaison.orders.append(TakeBack(id))

    # -- what is done beside

    async def _look(self, liaison: Liaison, ours: Sequence[Allocation]) -> None:
        seen = await liaison.look(ours)
        self._accounts.note(liaison, ours, seen)
        self._accounts.note_reach(liaison)
        self.soon()

    async def _work(self, liaison: Liaison) -> None:
        """Carry out the orders for one provider, one after the other, until one fails."""
        self._resting.clear()
        try:
            await self._ledger.settled(None)
            while liaison.orders and liaison.is_open():
                match liaison.orders[0]:
                    case Ask(allocation=id):
                        await self._submit(liaison, id)
                    case TakeBack(allocation=id):
                        await self._cancel(liaison, id)
                liaison.orders.popleft()
        except LedgerUnavailableError:
            return  # what was to be asked for is not written down, and so is not asked for
        finally:
            liaison.working = False
            if not any(one.working for one in self._liaisons.values()):
                self._resting.set()
            self.soon()

    async def _submit(self, liaison: Liaison, id: AllocationId) -> None:
        allocation = self._ledger.allocations.get(id)
        if allocation is None or self._ledger.broken:
            return
        if self._winding_down:
            self._accounts.end(allocation, "the stack goes down")
            return
        try:
            external = await liaison.submit(allocation)
        except ProviderRefusedError as exc:
            self._accounts.end(allocation, str(exc))
            self._drop_asks(liaison, str(exc))
        except ProviderError as exc:
            # Whether it is there after all, the next look tells.
            self._drop_asks(liaison, str(exc))
        else:
            self._accounts.submitted(id, external)

    async def _cancel(self, liaison: Liaison, id: AllocationId) -> None:
        allocation = self._ledger.allocations.get(id)
        if allocation is not None:
            log.info("allocation.withdrawn", allocation=id)
            if not await liaison.cancel(allocation):
                self._accounts.keep(id)

    def _drop_asks(self, liaison: Liaison, reason: str) -> None:
        """What else was to be asked of it is planned anew, perhaps of another."""
        _, *others = liaison.orders
        for order in others:
            if isinstance(order, Ask):
                liaison.orders.remove(order)
                if (allocation := self._ledger.allocations.get(order.allocation)) is not None:
                    self._accounts.end(allocation, f"it was not asked for: {reason}")
