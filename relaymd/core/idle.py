"""Idle seats while a pass gives them away, and which of them a job would like best."""

from collections.abc import Collection, Iterable, Iterator

from relaymd.core.ids import WorkerId
from relaymd.core.resources import Requirements, Seat, misfit, surplus
from relaymd.core.wide import joined


def best(need: Requirements, seats: Iterable[Seat]) -> Seat | None:
    """The seat that leaves least unused; at equal fit HPC before Salad before local."""
    fitting = (seat for seat in seats if misfit(need, seat) is None)
    return min(fitting, key=lambda seat: _preference(need, seat), default=None)


class Idle:
    """Seats that no job could tell apart lie together, the one to be taken first at the end.

    A pass then looks at each kind once an assignment and not at each idle seat.
    """

    def __init__(self, seats: Iterable[Seat], apart: Collection[str] = ()) -> None:
        """apart: nodes that matter to some job, so that their seats are of kinds of their own."""
        self._apart = frozenset(apart)
        self._kinds: dict[object, list[Seat]] = {}
        unique = {(seat.worker, seat.slot): seat for seat in seats}
        for _, seat in sorted(unique.items(), reverse=True):
            self._kinds.setdefault(self._kind(seat), []).append(seat)

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def __iter__(self) -> Iterator[Seat]:
        return (seat for alike in self._kinds.values() for seat in alike)

    def best(self, need: Requirements, avoid: frozenset[str] = frozenset()) -> Seat | None:
        """A seat on none of those nodes, made of several slots where the job needs them."""
        firsts = (alike[-1] for alike in self._kinds.values())
        return best(need, (seat for seat in firsts if seat.node not in avoid)) or joined(
            need, (seat for seat in self if seat.node not in avoid)
        )

    def take(self, seat: Seat) -> None:
        """It is as `best` returned it."""
        if seat.also:
            for slot in seat.slots:
                self.drop(seat.worker, slot)
            return
        alike = self._kinds[self._kind(seat)]
        alike.pop()
        if not alike:
            del self._kinds[self._kind(seat)]

    def drop(self, worker: WorkerId, slot: int) -> None:
        for kind, alike in [*self._kinds.items()]:
            left = [seat for seat in alike if (seat.worker, seat.slot) != (worker, slot)]
            if not left:
                del self._kinds[kind]
            elif len(left) < len(alike):
                self._kinds[kind] = left

    def _kind(self, seat: Seat) -> object:
        """All that `misfit` and `_preference` look at, but for the worker's name."""
        gpus = tuple((gpu.model, gpu.vram_gb) for gpu in seat.gpus)
        node = seat.node if seat.node in self._apart else ""
        return (seat.provider, seat.cluster, seat.image, seat.platforms, gpus, node)


def _preference(need: Requirements, seat: Seat) -> tuple[object, ...]:
    return (surplus(need, seat), seat.provider.rank, seat.worker, seat.slot)
