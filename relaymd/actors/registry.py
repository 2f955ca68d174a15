"""Knows the workers: who they are, and when each was last heard."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable
from typing import ClassVar, TypeAlias

import msgspec
import structlog

from relaymd.actors import pushes
from relaymd.actors.actor import Actor
from relaymd.actors.endings import interrupt, retire, strike
from relaymd.actors.ledger import Ledger
from relaymd.actors.presence import Presence
from relaymd.actors.texts import bounded, short
from relaymd.actors.views import Views
from relaymd.bus import contract, operating
from relaymd.bus import messages as m
from relaymd.bus.advisories import Disconnection
from relaymd.bus.bus import Bus, RefusedError
from relaymd.bus.subjects import Binding
from relaymd.core.ids import TOKEN, InstanceId, UnixTime, WorkerId
from relaymd.core.job import JobState
from relaymd.core.reaping import LivenessPolicy
from relaymd.core.worker import (
    Worker,
    WorkerLeft,
    WorkerLost,
    WorkerRegistered,
    WorkerReleased,
)

log = structlog.get_logger(__name__)

FORMER = 8
"""Replaced instances that are remembered."""

MOST_SLOTS = 64

Hints: TypeAlias = Callable[[], AsyncIterator[Disconnection]]
"""Gives the connections that closed, as the bus tells of it: of a worker, its id is the name."""


class Registry(Actor):
    name: ClassVar[str] = "registry"

    def __init__(
        self,
        bus: Bus,
        ledger: Ledger,
        presence: Presence,
        views: Views,
        *,
        policy: LivenessPolicy,
        jitter: Callable[[], float],
        hints: Hints | None = None,
    ) -> None:
        super().__init__(bus)
        self._ledger = ledger
        self._presence = presence
        self._views = views
        self._policy = policy
        self._jitter = jitter
        self._hints = hints

    def bindings(self) -> Iterable[Binding]:
        yield contract.REGISTER.answered_by(self.register)
        yield contract.HEARTBEAT.answered_by(self.heartbeat)
        yield contract.WORKER_DRAINS.answered_by(self.drains)
        yield contract.LEAVE.answered_by(self.leave)
        yield contract.WORKERS.answered_by(self.workers)
        yield contract.DRAIN_WORKER.answered_by(self.drain)
        yield contract.RELEASE_WORKER.answered_by(self.release)

    async def start(self) -> None:
        if self._hints is not None:
            self.later(self._heed(self._hints()))

    def register(self, message: m.Register) -> asyncio.Future[m.Registered]:
        if message.protocol != m.PROTOCOL:
            text = (
                f"worker {message.worker} speaks protocol {message.protocol}, "
                f"the orchestrator speaks {m.PROTOCOL}"
            )
            raise RefusedError.because(m.RefusalCode.INCOMPATIBLE, text)
        if (problem := _problem(message)) is not None:
            raise RefusedError.because(m.RefusalCode.INVALID, problem)
        known = self._ledger.workers.get(message.worker)
        if known is None or known.instance != message.instance:
            self._welcome(message, known)
        self._presence.hear(message.worker)
        answer = m.Registered(
            heartbeat_every=self._policy.heartbeat_every, time_to_live=self._policy.time_to_live
        )
        return self._ledger.settled(answer)

    def heartbeat(self, message: m.Heartbeat) -> m.HeartbeatAck:
        worker = self._ledger.workers.get(message.worker)
        if worker is None or worker.instance != message.instance:
            return m.HeartbeatAck(known=self._ledger.broken != "")
        self._presence.hear(worker.id)
        self._presence.list(worker.id, message.leases)
        self._presence.measure(worker.id, message.load)
        # As a set in order: a message may list any number of them.
        superseded = {held.job: None for held in message.leases if not self._stands(worker, held)}
        live = self._ledger.held_by(worker.id)
        return m.HeartbeatAck(
            # What the disk has not taken yet may still be taken back.
            superseded=() if self._ledger.broken else tuple(superseded),
            cancelled=tuple(
                held.job
                for held in message.leases
                if held.job not in superseded and live[held.job].state is JobState.CANCELLING
            ),
            drain=(worker.leaving_because or "it is leaving") if worker.leaving else None,
            asking=self._views.asking(worker.id),
            ends_in=self._ends_in(worker.id),
        )

    def _ends_in(self, worker: WorkerId) -> float | None:
        home = self._ledger.allocation_of(worker)
        allocation = self._ledger.allocations.get(home) if home is not None else None
        if allocation is None or allocation.deadline is None:
            return None
        return max(allocation.deadline - self._ledger.wall(), 0.0)

    def drains(self, message: m.WorkerDrains) -> asyncio.Future[m.Done]:
        worker = self._ledger.workers.get(message.worker)
        if worker is not None and worker.instance == message.instance:
            self._presence.hear(worker.id)
            retire(self._ledger, worker, bounded(message.reason))
        return self._ledger.settled(m.Done())

    def leave(self, message: m.Leave) -> asyncio.Future[m.Done]:
        worker = self._ledger.workers.get(message.worker)
        if worker is not None and worker.instance == message.instance:
            reason = bounded(message.reason)
            self._end_leases(worker, f"worker {worker.id} left: {reason}")
            strike(self._ledger, self._presence, worker.id, WorkerLeft(reason=reason))
            log.info("worker.left", worker=worker.id, reason=reason)
        return self._ledger.settled(m.Done())

    def workers(self, message: operating.ListWorkers) -> operating.WorkerList:
        return operating.WorkerList(workers=self._views.workers())

    def drain(self, message: operating.DrainWorker) -> asyncio.Future[m.Done]:
        worker = self._known(message.worker)
        reason = f"drained by {short(message.by)}" if message.by else "drained by an operator"
        retire(self._ledger, worker, reason)
        return self.answer(self._push_drain(worker.id, reason))

    def release(self, message: operating.ReleaseWorker) -> asyncio.Future[m.Done]:
        worker = self._known(message.worker)
        self._ledger.release(worker, WorkerReleased(by=short(message.by)))
        log.info("worker.released", worker=worker.id)
        return self._ledger.settled(m.Done())

    def _known(self, id: WorkerId) -> Worker:
        worker = self._ledger.workers.get(id)
        if worker is None:
            text = f"there is no worker {id}"
            raise RefusedError.because(m.RefusalCode.UNKNOWN_WORKER, text)
        return worker

    async def _push_drain(self, worker: WorkerId, reason: str) -> m.Done:
        await self._ledger.settled(None)
        self.later(pushes.drain(self.bus, worker, reason))
        return m.Done()

    def _welcome(self, message: m.Register, known: Worker | None) -> None:
        """Take in a process that is not registered, and dismiss whom it replaces."""
        former: list[InstanceId] = []
        rival = self._ledger.worker_of(message.allocation) if message.allocation else None
        for old in (known, rival if rival is not known else None):
            if old is None:
                continue
            if message.instance in old.former:
                text = f"worker {message.worker} was started anew; this process must end"
                raise RefusedError.because(m.RefusalCode.INVALID, text)
            former += [*old.former, old.instance]
        for old in (known, rival):
            if old is not None and old.id in self._ledger.workers:
                self._dismiss(old)
        worker = _worker(message, self._ledger.wall(), tuple(former[-FORMER:]))
        event = WorkerRegistered(
            host=worker.host, cluster=worker.cluster, gpus=len(worker.gpus), slots=worker.slots
        )
        self._ledger.put_worker(worker, event)
        log.info("worker.registered", worker=worker.id, host=worker.host, slots=worker.slots)

    def _dismiss(self, worker: Worker) -> None:
        reason = f"worker {worker.id} was started anew"
        self._end_leases(worker, reason)
        strike(self._ledger, self._presence, worker.id, WorkerLost(reason=reason))

    def _end_leases(self, worker: Worker, reason: str) -> None:
        for job in [*self._ledger.held_by(worker.id).values()]:
            interrupt(self._ledger, job, reason, jitter=self._jitter)

    def _stands(self, worker: Worker, held: m.HeldLease) -> bool:
        job = self._ledger.held_by(worker.id).get(held.job)
        if job is None or job.lease is None or job.lease.epoch != held.epoch:
            return False
        self._presence.note(job.id, held.epoch, held.progress)
        return True

    async def _heed(self, hints: AsyncIterator[Disconnection]) -> None:
        async for hint in hints:
            id = WorkerId(hint.name)
            if id in self._ledger.workers:
                log.info("worker.disconnected", worker=id, reason=hint.reason)
                self._presence.disconnect(id, hung_up=hint.hung_up)
        raise RuntimeError("the hints about closed connections ended")


def _worker(message: m.Register, now: UnixTime, former: tuple[InstanceId, ...]) -> Worker:
    said = {
        field: getattr(message, field)
        for field in Worker.__struct_fields__
        if field in m.Register.__struct_fields__
    }
    return Worker(id=message.worker, registered_at=now, former=former, **said)


def _problem(message: m.Register) -> str | None:
    """Why a registration cannot be taken, in one sentence."""
    for id in (message.worker, message.instance, message.allocation or "none"):
        if not TOKEN.fullmatch(id):
            return f"{id[:80]!r} is not an identifier"
    if not 1 <= message.slots <= MOST_SLOTS:
        return f"a worker has 1 to {MOST_SLOTS} slots, not {message.slots}"
    if any(not 0 <= gpu.vram_gb < math.inf for gpu in message.gpus):
        return "the memory of a GPU cannot be negative or infinite"
    if len(msgspec.json.encode(message)) > 65_536:
        return "the registration is longer than 64 KiB"
    return None
