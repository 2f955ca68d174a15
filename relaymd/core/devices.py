"""Which of a machine's GPUs are a worker's, which of these each slot has, what can run on them."""

from collections.abc import Collection, Sequence
from itertools import pairwise

import msgspec

from relaymd.core.resources import Gpu

EVERYWHERE = ("CPU", "Reference")
"""Platforms that need no device."""

WITH_GPU = ("CUDA", "OpenCL")
"""Platforms that NVIDIA's driver brings along; whether an engine was built for them is its own."""


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU as the driver counts it."""

    uuid: str
    gpus: tuple[Gpu, ...]
    """What an engine can be given: the card itself, or the instances it is divided into (MIG)."""


class GpuLoad(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How busy one device is just now. None: the driver does not say, as of MIG instances."""

    uuid: str
    busy: float | None = None
    """Share of the last moments in which a kernel ran, 0 to 1."""

    used_gb: float | None = None


class Load(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How busy a worker's machine is just now, whoever keeps it busy. Memory in GB of 1e9 bytes."""

    cpu: float | None = None
    """Of all its processors together, 0 to 1."""

    used_gb: float | None = None
    gpus: tuple[GpuLoad, ...] = ()


def visible(cards: Sequence[Card], inherited: str | None) -> tuple[Gpu, ...]:
    """The devices that `CUDA_VISIBLE_DEVICES`, as the worker inherited it, leaves.

    inherited: None where the variable is not set: all. As CUDA reads it: numbers or the begins
    of UUIDs; what follows a word that names nothing is hidden too, so `-1` and an empty text
    hide everything. Numbers count in the driver's order, which is that of the PCI bus.
    """
    if inherited is None:
        return tuple(gpu for card in cards for gpu in card.gpus)
    chosen: list[Gpu] = []
    for word in inherited.split(","):
        named = _named(cards, word.strip())
        if not named:
            break
        chosen += [gpu for gpu in named if gpu not in chosen]
    return tuple(chosen)


def _named(cards: Sequence[Card], word: str) -> tuple[Gpu, ...]:
    if word.isascii() and word.isdigit():
        return cards[int(word)].gpus if int(word) < len(cards) else ()
    if not word:
        return ()
    whole = [card.gpus for card in cards if card.uuid.startswith(word)]
    parts = [(gpu,) for card in cards for gpu in card.gpus if gpu.uuid.startswith(word)]
    found = whole or parts
    return found[0] if len(found) == 1 else ()


def slots_of(gpus: Collection[Gpu], configured: int | None) -> int:
    """How many jobs a worker runs at a time: as configured, else one a GPU, else one."""
    return configured or max(len(gpus), 1)


def deal(gpus: Sequence[Gpu], slots: int) -> list[tuple[Gpu, ...]]:
    """The devices of each slot, dealt evenly; where that does not come out, the first get more."""
    share, rest = divmod(len(gpus), slots)
    begins = [slot * share + min(slot, rest) for slot in range(slots + 1)]
    return [tuple(gpus[begin:end]) for begin, end in pairwise(begins)]


def platforms(gpus: Collection[Gpu], declared: Collection[str]) -> tuple[str, ...]:
    """What the place can run: as its owner declares it, else what its devices promise."""
    return tuple(declared) or ((*WITH_GPU, *EVERYWHERE) if gpus else EVERYWHERE)


def without_devices(platforms: Collection[str]) -> tuple[str, ...]:
    """Those that a slot has to which no device was dealt, though its worker has some."""
    return tuple(name for name in platforms if name in EVERYWHERE)
