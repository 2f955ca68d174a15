"""Jobs that need the devices of several slots: which slots of one worker they take together."""

from collections.abc import Collection, Iterable

import msgspec

from relaymd.core.ids import WorkerId
from relaymd.core.resources import Requirements, Seat, misfit, suits, surplus


def joined(need: Requirements, seats: Iterable[Seat]) -> Seat | None:
    """One seat made of the fewest slots of one worker that together are enough, or None."""
    if need.gpus < 2:
        return None
    found = [seat for one in _by_worker(seats).values() if (seat := _fewest(need, one)) is not None]
    return min(found, key=lambda seat: _preference(need, seat), default=None)


def width(need: Requirements, seat: Seat, slots: int) -> int:
    """How many of so many equal slots of a worker a job takes; 0: all of them are not enough."""
    if misfit(need, seat) is None:
        return 1
    if need.gpus < 2 or slots < 2:
        return 0
    found = _fewest(need, _equal(seat, slots))
    return len(found.slots) if found is not None else 0


def shortfall(need: Requirements, seat: Seat, slots: int) -> str:
    """Why not even so many equal slots of a worker together are enough; empty: they are."""
    return misfit(need, _merged(_equal(seat, slots))) or ""


def kept_free(
    need: Requirements, seats: Collection[Seat], idle: Collection[Seat]
) -> frozenset[tuple[WorkerId, int]]:
    """Idle slots that wait for others of their worker, so that a wide job is not passed for ever.

    seats: all there are, idle or not. Of the workers that could take the job once enough of
    their slots are idle, the one that has most of them idle. None are kept where some slot has
    enough by itself: it will be idle one day.
    """
    if need.gpus < 2 or any(misfit(need, seat) is None for seat in seats):
        return frozenset()
    able = {id for id, one in _by_worker(seats).items() if _fewest(need, one) is not None}
    waiting = {id: one for id, one in _by_worker(idle).items() if id in able}
    if not waiting:
        return frozenset()
    chosen = min(waiting, key=lambda id: (-sum(len(seat.gpus) for seat in waiting[id]), id))
    return frozenset((chosen, slot) for seat in waiting[chosen] for slot in seat.slots)


def _fewest(need: Requirements, seats: Iterable[Seat]) -> Seat | None:
    """Slots with the most suitable devices first, until they are enough."""
    useful = [(sum(suits(need, gpu) for gpu in seat.gpus), seat) for seat in seats]
    ranked = sorted((-count, seat.slot, seat) for count, seat in useful if count)
    for enough in range(1, len(ranked) + 1):
        seat = _merged([one for _, _, one in ranked[:enough]])
        if misfit(need, seat) is None:
            return seat
    return None


def _equal(seat: Seat, slots: int) -> list[Seat]:
    return [msgspec.structs.replace(seat, slot=number) for number in range(slots)]


def _merged(seats: list[Seat]) -> Seat:
    first, *others = sorted(seats, key=lambda seat: seat.slot)
    return msgspec.structs.replace(
        first,
        also=tuple(slot for seat in others for slot in seat.slots),
        gpus=tuple(gpu for seat in (first, *others) for gpu in seat.gpus),
    )


def _by_worker(seats: Iterable[Seat]) -> dict[WorkerId, list[Seat]]:
    found: dict[WorkerId, list[Seat]] = {}
    for seat in seats:
        found.setdefault(seat.worker, []).append(seat)
    return found


def _preference(need: Requirements, seat: Seat) -> tuple[object, ...]:
    return (len(seat.slots), surplus(need, seat), seat.provider.rank, seat.worker)
