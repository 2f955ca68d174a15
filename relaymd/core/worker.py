"""Who a worker is, as it said when it registered, and what became of it."""

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from relaymd.core.devices import deal, without_devices
from relaymd.core.ids import AllocationId, InstanceId, UnixTime, WorkerId
from relaymd.core.resources import Gpu, ProviderKind, Seat


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One registered worker process. Whether it is idle is said by its slots, not by it."""

    id: WorkerId
    instance: InstanceId
    allocation: AllocationId | None = None
    provider: ProviderKind = ProviderKind.LOCAL
    cluster: str = "local"
    host: str = ""
    pid: int = 0
    image: str | None = None
    platforms: tuple[str, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    slots: int = 1
    version: str = ""
    registered_at: UnixTime
    deadline: UnixTime | None = None
    leaving: bool = False
    """It was told to drain, or said that it does: it gets no more work."""

    leaving_because: str = ""
    former: tuple[InstanceId, ...] = ()
    """Instances that this one replaced, newest last: none of them may come back."""

    external: str = ""
    """The provider's own name for where it runs, where nobody could tell it its allocation."""

    cpus: int = 0
    memory_gb: float = 0.0


def node_of(worker: Worker) -> str:
    """The same for all workers of one machine; a worker that names no host stands for itself."""
    return f"{worker.cluster}/{worker.host or worker.id}"


def seats(worker: Worker) -> Iterator[Seat]:
    """The worker's slots, its GPUs dealt evenly among them."""
    for slot, gpus in enumerate(deal(worker.gpus, worker.slots)):
        bare = worker.gpus and not gpus
        yield Seat(
            worker=worker.id,
            slot=slot,
            provider=worker.provider,
            cluster=worker.cluster,
            node=node_of(worker),
            image=worker.image,
            platforms=without_devices(worker.platforms) if bare else worker.platforms,
            gpus=gpus,
            deadline=worker.deadline,
        )


class WorkerRegistered(msgspec.Struct, frozen=True, kw_only=True, tag="registered"):
    host: str
    cluster: str
    gpus: int
    slots: int


class WorkerDraining(msgspec.Struct, frozen=True, kw_only=True, tag="draining"):
    reason: str


class WorkerLeft(msgspec.Struct, frozen=True, kw_only=True, tag="left"):
    """It said goodbye, with nothing in its hands."""

    reason: str


class WorkerLost(msgspec.Struct, frozen=True, kw_only=True, tag="lost"):
    """It went silent, its process ended, or it was started anew."""

    reason: str


class WorkerQuarantined(msgspec.Struct, frozen=True, kw_only=True, tag="quarantined"):
    """Its node gets no work for a while; so does every other worker there."""

    until: UnixTime
    reason: str


class WorkerReleased(msgspec.Struct, frozen=True, kw_only=True, tag="released"):
    """An operator forgave its node what was against it."""

    by: str = ""


WorkerEvent: TypeAlias = (
    WorkerRegistered | WorkerDraining | WorkerLeft | WorkerLost | WorkerQuarantined | WorkerReleased
)
