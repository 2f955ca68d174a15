"""What a job needs, what a place offers, and whether the one fits the other."""

from enum import StrEnum

import msgspec

from relaymd.core.ids import UnixTime, WorkerId


class ProviderKind(StrEnum):
    """Where a worker runs, in the order in which we like to use it."""

    SLURM = "slurm"
    SALAD = "salad"
    LOCAL = "local"

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS = {kind: rank for rank, kind in enumerate(ProviderKind)}


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    vram_gb: float = 0.0
    """Memory of the device, in GB of 1e9 bytes; 0 where unknown."""

    uuid: str = ""


class Requirements(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a slot must have. Jobs with equal requirements form one class of the queue."""

    gpus: int = 0
    vram_gb: float = 0.0
    """Per GPU, in GB."""

    gpu_models: tuple[str, ...] = ()
    """Any of these; each matches as a part of the device's name, whatever its case."""

    platforms: tuple[str, ...] = ()
    """Any of these compute platforms, in OpenMM's names: CUDA, HIP, OpenCL, CPU, Reference."""

    clusters: tuple[str, ...] = ()
    """Any of these, by the names of the configuration; empty: anywhere."""

    worker_image: str | None = None


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """One slot of one worker: a place where one job can run, and what that place has."""

    worker: WorkerId
    slot: int = 0
    provider: ProviderKind = ProviderKind.LOCAL
    cluster: str = "local"
    image: str | None = None
    platforms: tuple[str, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    deadline: UnixTime | None = None
    """When the allocation ends; None where nothing ends it."""

    also: tuple[int, ...] = ()
    """Further slots of the worker, whose devices are among these."""

    node: str = ""
    """The machine it is on, as `node_of` names it."""

    @property
    def slots(self) -> tuple[int, ...]:
        return (self.slot, *self.also)


def misfit(need: Requirements, seat: Seat) -> str | None:
    """Why a job with this need cannot run in this seat, or None where it can."""
    if need.clusters and seat.cluster not in need.clusters:
        return f"cluster {seat.cluster} is not one of {_list(need.clusters)}"
    if need.worker_image is not None and seat.image != need.worker_image:
        return f"it runs the image {seat.image or '(none)'}, not {need.worker_image}"
    if need.platforms and not {*need.platforms} & {*seat.platforms}:
        return f"it has none of the platforms {_list(need.platforms)}"
    if need.gpus and len(seat.gpus) < need.gpus:
        return f"it has {len(seat.gpus)} of the {need.gpus} GPUs asked for"
    suitable = sum(suits(need, gpu) for gpu in seat.gpus)
    if suitable < need.gpus:
        return f"{suitable} of its GPUs have the model and memory asked for, {need.gpus} must"
    return None


def surplus(need: Requirements, seat: Seat) -> tuple[float, ...]:
    """How much of the seat the job would leave unused; compares as less is better."""
    spare = len(seat.gpus) - need.gpus
    memory = sum(gpu.vram_gb for gpu in seat.gpus) - need.gpus * need.vram_gb
    return (spare, max(memory, 0.0))


def suits(need: Requirements, gpu: Gpu) -> bool:
    """Whether the device has the model and the memory that are asked for."""
    named = not need.gpu_models or any(
        model.casefold() in gpu.model.casefold() for model in need.gpu_models
    )
    return named and gpu.vram_gb >= need.vram_gb


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names)
