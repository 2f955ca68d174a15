"""States to plan over, in few words."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from relaymd.core.allocation import Allocation, AllocationState
from relaymd.core.demand import Demand
from relaymd.core.ids import AllocationId, UnixTime, WorkerId
from relaymd.core.planning import plan
from relaymd.core.provisioning import (
    Offer,
    Plan,
    PlanningPolicy,
    ProvisionCommand,
    Retire,
    Submit,
    Supply,
    Withdraw,
)
from relaymd.core.resources import Gpu, ProviderKind, Requirements, Seat

ANY = Requirements()
ONE_GPU = Requirements(gpus=1)
GPU = Gpu(model="A100", vram_gb=40.0)
NOW = UnixTime(1_000_000.0)
POLICY = PlanningPolicy(overflow_after=600.0, ending=300.0)


def offer(
    cluster: str,
    kind: ProviderKind = ProviderKind.SLURM,
    *,
    gpus: tuple[Gpu, ...] = (),
    image: str | None = None,
    **said: Any,
) -> Offer:
    template = Seat(worker=WorkerId("w"), provider=kind, cluster=cluster, gpus=gpus, image=image)
    return Offer(
        cluster=cluster, provider=kind, template=template, limit=said.pop("limit", 10), **said
    )


def allocation(
    id: str,
    cluster: str,
    state: AllocationState = AllocationState.SUBMITTED,
    *,
    age: float = 0.0,
    **said: Any,
) -> Allocation:
    at = UnixTime(NOW - age)
    return Allocation(id=AllocationId(id), cluster=cluster, state=state, requested_at=at, **said)


def seat(worker: str, *gpus: Gpu, cluster: str = "local", ends: float | None = None) -> Seat:
    """ends: in so many seconds."""
    deadline = UnixTime(NOW + ends) if ends is not None else None
    return Seat(worker=WorkerId(worker), gpus=gpus, cluster=cluster, deadline=deadline)


def demand(need: Requirements = ANY, waiting: int = 1, **said: Any) -> Demand:
    return Demand(need=need, waiting=waiting, **said)


def planned(
    wanted: Mapping[Requirements, int] | Sequence[Demand],
    offers: Collection[Offer],
    *,
    idle: Sequence[Seat] = (),
    busy: Sequence[Seat] = (),
    held: Sequence[Allocation] = (),
    **supply: Any,
) -> Plan:
    if not isinstance(wanted, Sequence):
        wanted = [demand(need, count) for need, count in wanted.items()]
    there = Supply(seats=(*idle, *busy), idle=idle, allocations=held, **supply)
    return plan([*wanted], there, offers, now=NOW, policy=POLICY)


def submits(found: Plan) -> dict[str, int]:
    """How many are asked of each cluster."""
    count: dict[str, int] = {}
    for each in found.commands:
        if isinstance(each, Submit):
            count[each.cluster] = count.get(each.cluster, 0) + 1
    return count


def withdrawn(found: Plan) -> list[str]:
    return [each.allocation for each in found.commands if isinstance(each, Withdraw)]


def retired(found: Plan) -> list[str]:
    return [each.worker for each in found.commands if isinstance(each, Retire)]


def commands(found: Plan) -> tuple[ProvisionCommand, ...]:
    return found.commands
