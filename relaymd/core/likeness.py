"""Needs that no place can tell apart, as one: thousands of classes of jobs become a few."""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import TypeAlias

from relaymd.core.resources import Requirements, Seat

BEYOND = float("inf")
"""Memory that no device has."""

Names: TypeAlias = tuple[str, ...]


class Likeness:
    """Says each need in the words of the places there are.

    Two needs that come out equal fit the same of these places, and like those of which one is
    enough in the same order.
    """

    def __init__(self, seats: Iterable[Seat]) -> None:
        """seats: at least one of each kind of place."""
        there = [*seats]
        gpus = {(gpu.model, gpu.vram_gb) for seat in there for gpu in seat.gpus}
        models = sorted({model for model, _ in gpus})
        self._memory = sorted({memory for _, memory in gpus})
        self._models = _Words(lambda asked: _meant(asked, models))
        self._clusters = _among({seat.cluster for seat in there})
        self._platforms = _among({name for seat in there for name in seat.platforms})
        self._known: dict[object, Requirements] = {}

    def of(self, need: Requirements) -> Requirements:
        memory = self._enough(need.vram_gb) if need.gpus else 0.0
        models = self._models[need.gpu_models] if need.gpus else ()
        platforms = self._platforms[need.platforms]
        clusters = self._clusters[need.clusters]
        said = (need.gpus, memory, models, platforms, clusters, need.worker_image)
        found = self._known.get(said)
        if found is None:
            found = self._known[said] = Requirements(
                gpus=need.gpus,
                vram_gb=memory,
                gpu_models=models,
                platforms=platforms,
                clusters=clusters,
                worker_image=need.worker_image,
            )
        return found

    def _enough(self, memory: float) -> float:
        """The least memory of a device that is enough."""
        at = bisect_left(self._memory, memory)
        return self._memory[at] if at < len(self._memory) else BEYOND


class _Words(dict[Names, Names]):
    """What is asked for, and what is meant by it here.

    Where that is nothing it stays as it was said, so that people are told what is missing.
    """

    def __init__(self, meant: Callable[[Names], Names]) -> None:
        super().__init__()
        self._meant = meant

    def __missing__(self, asked: Names) -> Names:
        found = self[asked] = self._meant(asked) or asked
        return found


def _among(known: set[str]) -> _Words:
    return _Words(lambda asked: tuple(sorted({*asked} & known)))


def _meant(asked: Names, models: Iterable[str]) -> Names:
    """The models that one of the names is a part of."""
    parts = [name.casefold() for name in asked]
    return tuple(model for model in models if any(part in model.casefold() for part in parts))
