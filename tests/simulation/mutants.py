"""Planted bugs: each is a part that does wrong what the project is proud of doing right."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ParamSpec, TypeVar, cast

import msgspec

from relaymd.actors.actor import Actor
from relaymd.actors.endings import interrupt
from relaymd.actors.ledger import Ledger
from relaymd.actors.orchestrator import World as Parts
from relaymd.actors.outbox import Outbox
from relaymd.actors.providers.provider import Capabilities, Provider
from relaymd.bus import contract
from relaymd.bus.bus import Bus, BusError, Inbox
from relaymd.bus.messages import LeaseAnswer, Standing
from relaymd.bus.subjects import Binding, Rep, Req, Request
from relaymd.core.allocation import Allocation, Sighting, Whereabouts
from relaymd.core.ids import AllocationId
from relaymd.core.provisioning import Offer
from relaymd.core.reaping import Forget, ReapCommand, Revoke, reap
from relaymd.core.worker import WorkerLost
from relaymd.process import Offload
from relaymd.storage.store import Store
from relaymd.worker import files
from tests.simulation.letters import LAST
from tests.simulation.process import WORLD
from tests.simulation.recipe import Recipe
from tests.simulation.run import simulate
from tests.simulation.wrapped import WrappedBus
from tests.storage.passing import PassingStore

P = ParamSpec("P")
T = TypeVar("T")

REPORTS = (
    *(contract.START, contract.LAUNCHED, contract.CHECKPOINT, contract.CHECKPOINT_MISSED),
    *(contract.DRAINING, contract.COMPLETE, contract.FAIL, contract.HANDOFF, contract.CANCELLED),
)


class NoEpochCheck(Recipe):
    """Whoever reports of a job is believed, under whatever lease he speaks."""

    name = "drop the epoch check"
    sign = "never said so"

    def bus(self, bus: Bus, ledger: Ledger) -> Bus:
        return _Credulous(bus, ledger)


class _Credulous(WrappedBus):
    """A Bus that takes every report as one of the live lease."""

    def __init__(self, bus: Bus, ledger: Ledger) -> None:
        super().__init__(bus)
        self._ledger = ledger

    def serve(self, service: str, *bindings: Binding) -> AbstractAsyncContextManager[Inbox]:
        return self.bus.serve(service, *map(self._credulous, bindings))

    def _credulous(self, binding: Binding) -> Binding:
        if binding.subject not in REPORTS:
            return binding
        return Binding(
            binding.subject,
            binding.listen,
            lambda message: binding.handler(self._of_live_lease(message)),
        )

    def _of_live_lease(self, message: Any) -> Any:
        job = self._ledger.jobs.get(message.job)
        if job is None or job.lease is None:
            return message
        said: dict[str, object] = {"worker": job.lease.worker}
        if hasattr(message, "checkpoint"):
            checkpoint = msgspec.structs.replace(message.checkpoint, epoch=job.lease.epoch)
            said["checkpoint"] = checkpoint
        else:
            said["epoch"] = job.lease.epoch
        return msgspec.structs.replace(message, **said)


class CommitFirst(Recipe):
    """The worker believes that a piece is stored when it has only been sent off."""

    name = "commit before upload"
    sign = "generation"

    def worker_store(self, store: Store) -> Store:
        return _Hasty(store)


class _Hasty(PassingStore):
    """A Store whose puts are answered at once and arrive later, if the process lives."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._under_way: set[asyncio.Task[None]] = set()

    async def put(self, key: str, data: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._later(key, data))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard, context=WORLD)

    async def _later(self, key: str, data: bytes) -> None:
        await asyncio.sleep(0.05)
        await asyncio.wait_for(self.inner.put(key, data), 60.0)


class StaleReaper(Recipe):
    """The reaper looks, thinks for a while, and then acts on what it saw."""

    name = "requeue from a state the reaper read earlier"
    sign = "it was heard"

    def recast(self, parts: Parts, name: str, make: Callable[[], Actor]) -> Callable[[], Actor]:
        return (lambda: _Slow(parts)) if name == "reaper" else make


class _Slow(Actor):
    """Judges by what it read before it awaited."""

    name = "reaper"
    every = 0.5

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts.bus)
        self._parts = parts

    async def tick(self) -> None:
        parts = self._parts
        ledger, presence = parts.ledger, parts.presence
        commands = reap(
            [presence.vital(worker) for worker in ledger.workers],
            [*ledger.leased()],
            assigned={},
            now=presence.clock(),
            policy=parts.policy,
        )
        await asyncio.sleep(parts.rng.uniform(0.0, 2.0))  # a `squeue` that takes its time
        for command in commands:
            if not ledger.broken:
                self._obey(command)

    def _obey(self, command: ReapCommand) -> None:
        ledger = self._parts.ledger
        match command:
            case Revoke(job=id, reason=reason):
                job = ledger.jobs.get(id)
                if job is not None and job.lease is not None:
                    interrupt(ledger, job, reason, jitter=self._parts.rng.random)
            case Forget(worker=worker, reason=reason):
                ledger.forget(worker, WorkerLost(reason=reason))
                self._parts.presence.forget(worker)
            case _:
                return


class UnknownIsDead(Recipe):
    """What a provider cannot tell of is taken for gone."""

    name = "treat unknown as dead"
    sign = "its worker lives"

    def provider(self, provider: Provider) -> Provider:
        return _Rash(provider)


class _Rash:
    """A Provider that draws conclusions."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    @property
    def cluster(self) -> str:
        return self._provider.cluster

    def capabilities(self) -> Capabilities:
        return self._provider.capabilities()

    def offers(self) -> Sequence[Offer]:
        return self._provider.offers()

    async def submit(self, allocation: Allocation) -> str:
        return await self._provider.submit(allocation)

    async def cancel(self, allocation: Allocation) -> None:
        await self._provider.cancel(allocation)

    async def observe(self, allocations: Collection[Allocation]) -> Mapping[AllocationId, Sighting]:
        seen = await self._provider.observe(allocations)
        gone = Sighting(where=Whereabouts.GONE, reason="squeue does not list it")
        return {
            id: gone if sighting.where is Whereabouts.UNKNOWN else sighting
            for id, sighting in seen.items()
        }


class NoOutbox(Recipe):
    """Events are published when they happen, and forgotten when that fails."""

    name = "forget the outbox"
    sign = "the stream of events"

    def recast(self, parts: Parts, name: str, make: Callable[[], Actor]) -> Callable[[], Actor]:
        if name != "outbox":
            return make
        return lambda: _Forgetful(parts.bus, parts.ledger, parts.journal)


class _Forgetful(Outbox):
    """Begins with what happens from now on, as if everything before were known."""

    async def start(self) -> None:
        self._ledger.published(self._ledger.last_event)


class NoLetters(Recipe):
    """Last words of workers are kept in memory, and die with the process."""

    name = "say a last word before it is on disk"
    sign = "not on its disk"

    def offload(self, offload: Offload) -> Offload:
        return _Careless(offload, files.write_durably, None)


class UnreadLetters(Recipe):
    """What a worker's process could not say, the next one does not look for."""

    name = "forget the worker's outbox"
    sign = "was never said"

    def offload(self, offload: Offload) -> Offload:
        return _Careless(offload, files.read_all, dict[str, bytes]())


class _Careless:
    """An Offload that leaves out one kind of work on the outbox."""

    def __init__(self, offload: Offload, work: Callable[..., Any], instead: Any) -> None:
        self._offload = offload
        self._work = work
        self._instead = instead

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if work == self._work:
            return cast(T, self._instead)
        return await self._offload(work, *args, **kwargs)


class SaidOnce(Recipe):
    """A last word that nobody answers counts as heard."""

    name = "say a last word only once"
    sign = "nobody has answered it"

    def worker_bus(self, bus: Bus) -> Bus:
        return _Careful(bus)


class _Careful(WrappedBus):
    async def ask(
        self, request: Request[Req, Rep], message: Req, *, within: float | None = None
    ) -> Rep:
        try:
            return await self.bus.ask(request, message, within=within)
        except BusError:
            if request not in LAST:
                raise
            return cast(Rep, LeaseAnswer(standing=Standing.ACCEPTED))


MUTANTS = (
    NoEpochCheck(),
    CommitFirst(),
    StaleReaper(),
    UnknownIsDead(),
    NoOutbox(),
    NoLetters(),
    UnreadLetters(),
    SaidOnce(),
)


def found_after(mutant: Recipe, schedules: int) -> int | None:
    """The schedules until the bug was found for what it is; None: in none of so many."""
    for seed in range(schedules):
        outcome = simulate(seed, recipe=mutant)
        if any(mutant.sign in violation for violation in outcome.violations):
            return seed + 1
    return None
