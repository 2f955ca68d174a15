"""Salad Cloud as a provider: one container group, one replica an allocation.

docs/decisions/0006-salad-replicas.md says how allocations and instances find each other.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec
import structlog

from relaymd.actors.providers.provider import (
    Capabilities,
    ProviderError,
    ProviderRefusedError,
)
from relaymd.actors.providers.salad_api import Group, SaladApi, UnknownToSaladError
from relaymd.core.allocation import Allocation, Sighting, Whereabouts
from relaymd.core.clusters import SaladConfig
from relaymd.core.ids import AllocationId, WorkerId
from relaymd.core.provisioning import Offer
from relaymd.core.replicas import (
    Instance,
    InstanceState,
    Price,
    Reallocate,
    Scale,
    Start,
    Step,
    claim,
    steps,
)
from relaymd.core.resources import Gpu, ProviderKind, Seat

log = structlog.get_logger(__name__)


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """In seconds."""

    gone_after: float = 10.0
    """An instance must be missing from the list for so long: one list proves nothing."""

    surplus_for: float = 30.0
    """There must be more replicas than claims for so long before unclaimed ones go.

    The job of a machine that was lost claims the machine that Salad puts in its place.
    """


PATIENCE = Patience()


class SaladProvider:
    """Implements Provider. The group belongs to this stack alone."""

    def __init__(self, api: SaladApi, config: SaladConfig, patience: Patience = PATIENCE) -> None:
        self._api = api
        self._config = config
        self._patience = patience
        self._lock = asyncio.Lock()
        self._live: dict[AllocationId, Allocation] = {}
        self._cancelled: dict[AllocationId, str] = {}
        """Allocations that were taken back, and their machines."""

        self._missing: dict[AllocationId, float] = {}
        self._surplus_since: float | None = None

    @property
    def cluster(self) -> str:
        return self._config.name

    def capabilities(self) -> Capabilities:
        return Capabilities(
            call_within=4 * self._config.request_seconds, look_every=5.0, outlives_worker=True
        )

    def offers(self) -> Sequence[Offer]:
        config, gpu = self._config, self._config.gpu
        platforms: tuple[str, ...] = ("CPU", "Reference")
        gpus: tuple[Gpu, ...] = ()
        if gpu is not None:
            platforms = ("CUDA", "OpenCL", "CPU", "Reference")
            gpus = (Gpu(model=gpu.type, vram_gb=gpu.vram_gb),) * gpu.count
        seat = Seat(
            worker=WorkerId("w"),
            provider=ProviderKind.SALAD,
            cluster=config.name,
            image=config.worker_image,
            platforms=config.platforms or platforms,
            gpus=gpus[: len(gpus) // config.slots],
        )
        offer = Offer(
            cluster=config.name,
            provider=ProviderKind.SALAD,
            template=seat,
            slots=config.slots,
            limit=config.max_replicas,
            disabled="" if config.enabled else "it is disabled in the configuration",
            closed="" if config.api_key else "RELAYMD_SALAD_API_KEY is not set",
        )
        return (offer,)

    async def submit(self, allocation: Allocation) -> str:
        async with self._lock:
            group, instances = await self._look()
            if group.current_state.status == "failed":
                said = group.current_state.description or "it does not say why"
                raise ProviderRefusedError(f"the container group has failed: {said}")
            self._live[allocation.id] = allocation
            try:
                await self._carry_out(group, instances, self._homes(instances))
            except ProviderRefusedError:
                del self._live[allocation.id]
                raise
        return ""  # it has no name before it runs

    async def observe(self, allocations: Collection[Allocation]) -> Mapping[AllocationId, Sighting]:
        async with self._lock:
            self._live = {one.id: one for one in allocations}
            self._cancelled = {id: at for id, at in self._cancelled.items() if id in self._live}
            group, instances = await self._look()
            homes = self._homes(instances)
            told = {
                one.id: self._sight(one, homes.get(one.id, ""), group, instances)
                for one in allocations
            }
            self._missing = {id: at for id, at in self._missing.items() if id in told}
            for id, sighting in told.items():
                if sighting.where is Whereabouts.GONE:
                    del self._live[id]  # its replica is for the next claim
            await self._carry_out(group, instances, self._homes(instances))
            return told

    async def cancel(self, allocation: Allocation) -> None:
        async with self._lock:
            self._live.setdefault(allocation.id, allocation)
            group, instances = await self._look()
            machine = self._homes(instances).get(allocation.id, "")
            if machine and not allocation.external:
                # Its worker may be at work under a name that nobody has connected with it yet.
                raise ProviderError("it runs by now, and is looked at first")
            self._cancelled[allocation.id] = machine
            await self._carry_out(group, instances, self._homes(instances), released=not machine)

    async def _look(self) -> tuple[Group, list[Instance]]:
        return await self._api.group(), await self._api.instances()

    def _claims(self) -> int:
        """Who has lost its machine claims none: a worker on the next one claims that."""
        return sum(id not in self._cancelled and id not in self._missing for id in self._live)

    def _homes(self, instances: Sequence[Instance]) -> dict[AllocationId, str]:
        wanted = [one for one in self._live.values() if one.id not in self._cancelled]
        return claim(wanted, instances, {*self._cancelled.values()} - {""})

    async def _carry_out(
        self,
        group: Group,
        instances: Sequence[Instance],
        homes: Mapping[AllocationId, str],
        *,
        released: bool = False,
    ) -> None:
        plan = steps(
            group.replicas,
            instances,
            claims=self._claims(),
            homes=homes,
            dismissed={*self._cancelled.values()} - {""},
            released=int(released),
            patience_is_over=self._is_surplus_old(group),
            stopped=group.current_state.status == "stopped",
        )
        for step in plan:
            await self._do(step)

    def _is_surplus_old(self, group: Group) -> bool:
        if group.replicas <= self._claims():
            self._surplus_since = None
            return False
        if self._surplus_since is None:
            self._surplus_since = _now()
        return _now() - self._surplus_since >= self._patience.surplus_for

    async def _do(self, step: Step) -> None:
        match step:
            case Scale(replicas=replicas):
                await self._api.scale(replicas)
            case Start():
                await self._api.start()
            case Price(instance=id, cost=cost):
                with contextlib.suppress(UnknownToSaladError):  # gone meanwhile
                    await self._api.price(id, cost)
            case Reallocate(instance=id):
                with contextlib.suppress(UnknownToSaladError):
                    await self._api.reallocate(id)

    def _sight(
        self, allocation: Allocation, machine: str, group: Group, instances: Sequence[Instance]
    ) -> Sighting:
        machine = machine or self._cancelled.get(allocation.id, "")
        here = next((one for one in instances if one.machine == machine), None) if machine else None
        if here is not None:
            self._missing.pop(allocation.id, None)
            runs = here.state in (InstanceState.RUNNING, InstanceState.STOPPING)
            where = Whereabouts.RUNNING if runs else Whereabouts.UNKNOWN
            return Sighting(where=where, external=machine, reason=f"its instance is {here.state}")
        if allocation.id in self._cancelled:
            return Sighting(where=Whereabouts.GONE, reason="it was taken back")
        if not machine:
            return Sighting(where=Whereabouts.PENDING, reason=_waits(group, instances))
        since = self._missing.setdefault(allocation.id, _now())
        if _now() - since < self._patience.gone_after:
            return Sighting(where=Whereabouts.UNKNOWN, external=machine)
        reason = f"Salad took machine {machine} away"
        return Sighting(where=Whereabouts.GONE, external=machine, reason=reason)


def _waits(group: Group, instances: Sequence[Instance]) -> str:
    """Why an allocation has no machine, for a person."""
    status = group.current_state.status
    if status in ("pending", "failed", "stopped"):
        said = group.current_state.description
        return f"the container group is {status}" + (f": {said}" if said else "")
    states = Counter(one.state for one in instances if not one.runs)
    seen = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return f"Salad looks for a machine ({seen})" if seen else "Salad looks for a machine"


def _now() -> float:
    return asyncio.get_running_loop().time()
