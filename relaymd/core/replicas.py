"""Which instance of a container group serves which allocation, and what to change about the group.

A group is told a number of replicas, and chooses machines by itself: nobody can name an instance
before it runs. So an allocation is a claim on one replica; once an instance runs that nobody has
claimed, the oldest open claim gets it, by the name of its machine. From then on they are one.
"""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import TypeAlias

import msgspec

from relaymd.core.allocation import Allocation
from relaymd.core.ids import AllocationId

KEEP = 1000
"""Deletion cost of an instance that is not to go: the group takes the cheapest first."""


class InstanceState(StrEnum):
    ALLOCATING = "allocating"
    DOWNLOADING = "downloading"
    CREATING = "creating"
    RUNNING = "running"
    STOPPING = "stopping"
    OTHER = "other"
    """One that we do not know."""


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    machine: str
    """Its worker knows it too; empty: none yet."""

    state: InstanceState
    deletion_cost: int = 0

    @property
    def is_staying(self) -> bool:
        return self.state is not InstanceState.STOPPING

    @property
    def runs(self) -> bool:
        return self.state is InstanceState.RUNNING and bool(self.machine)


class Price(msgspec.Struct, frozen=True):
    """Set the deletion cost of an instance."""

    instance: str
    cost: int


class Scale(msgspec.Struct, frozen=True):
    replicas: int


class Reallocate(msgspec.Struct, frozen=True):
    """Give this instance's place to another machine."""

    instance: str


class Start(msgspec.Struct, frozen=True):
    """Let the group run, which was stopped."""


Step: TypeAlias = Price | Scale | Start | Reallocate


def claim(
    allocations: Collection[Allocation], instances: Collection[Instance], dismissed: Collection[str]
) -> dict[AllocationId, str]:
    """The machine of each allocation that has one, the ones it gets now included.

    dismissed: machines that nobody gets any more.
    """
    homes = {one.id: one.external for one in allocations if one.external}
    taken = {*homes.values(), *dismissed}
    free = sorted(one.machine for one in instances if one.runs and one.machine not in taken)
    open = sorted(
        (one for one in allocations if not one.external), key=lambda one: (one.requested_at, one.id)
    )
    return homes | {one.id: machine for one, machine in zip(open, free, strict=False)}


def steps(
    replicas: int,
    instances: Sequence[Instance],
    *,
    claims: int,
    homes: Mapping[AllocationId, str],
    dismissed: Collection[str],
    released: int = 0,
    patience_is_over: bool = False,
    stopped: bool = False,
) -> list[Step]:
    """What brings the group to one replica for each claim, in this order.

    replicas: what the group was told last. claims: live allocations. dismissed: machines whose
    allocation was taken back. released: open claims that were taken back. patience_is_over: there
    have been more replicas than claims for long enough, and nobody is about to claim them.
    stopped: the group as a whole.

    An instance that runs goes only by name: because it was dismissed, or unclaimed for long.
    """
    start = [Start()] if stopped and claims > len(homes) else []
    if replicas < claims:
        return [Scale(claims), *start]
    if start:
        return [*start]
    staying = [one for one in instances if one.is_staying]
    victims = [one for one in staying if one.machine in dismissed]
    if len(staying) > replicas:
        return []  # the group is still on its way down
    if replicas == claims:
        return [Reallocate(one.id) for one in victims]
    kept = {*homes.values()}
    strays = [one for one in staying if one not in victims and one.machine not in kept]
    idle = [one for one in strays if not one.runs]
    unborn = replicas - len(staying)
    if patience_is_over:
        going = [*victims, *strays]
        number = len(going) + unborn
    else:
        going = [*victims, *(idle if released else [])]
        number = len(victims) + min(released, len(idle) + unborn)
    number = min(number, replicas - claims)
    if number == 0:
        return []
    wanted = {one.id: 0 if one in going else KEEP for one in staying}
    prices = [
        Price(one.id, wanted[one.id]) for one in staying if one.deletion_cost != wanted[one.id]
    ]
    return [*prices, Scale(replicas - number)]
