"""Which waiting job goes to which idle seat, and why not for the others."""

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from relaymd.core.ids import JobId, UnixTime, WorkerId
from relaymd.core.job import Job
from relaymd.core.resources import Requirements, Seat, misfit, surplus
from relaymd.core.wide import joined, kept_free


class Assign(msgspec.Struct, frozen=True):
    job: JobId
    seat: Seat


def urgency(job: Job) -> tuple[int, UnixTime, JobId]:
    """Sorts what should run first to the front: priority, then age since the submit."""
    return (-job.priority, job.submitted_at, job.id)


def assign(
    lines: Mapping[Requirements, Sequence[Job]],
    idle: Collection[Seat],
    seats: Collection[Seat] = (),
) -> list[Assign]:
    """Give idle seats to waiting jobs: priority, then age; each to the seat it fits best.

    lines: the waiting jobs by class, each in the order of `urgency`. Only as many of each are
    looked at as get a seat: a class whose head finds none has none that does. seats: all there
    are, idle or not; a job that needs several slots keeps those that are idle from less urgent
    ones, until there are enough.
    """
    free = _by_kind(idle)
    heads = [(urgency(line[0]), 0, need) for need, line in lines.items()]
    order = {need: number for number, need in enumerate(lines)}
    queue = [(key, order[need], index) for key, index, need in heads]
    needs = list(lines)
    heapq.heapify(queue)
    steps: list[Assign] = []
    while queue and free:
        _, number, index = heapq.heappop(queue)
        need = needs[number]
        seat = best(need, [alike[-1] for alike in free.values()]) or joined(need, _each(free))
        if seat is None:
            for worker, slot in kept_free(need, seats, [*_each(free)]):
                _drop(free, worker, slot)
            continue
        line = lines[need]
        steps.append(Assign(line[index].id, seat))
        _take(free, seat)
        if index + 1 < len(line):
            heapq.heappush(queue, (urgency(line[index + 1]), number, index + 1))
    return steps


def best(need: Requirements, seats: Iterable[Seat]) -> Seat | None:
    """The seat that leaves least unused; at equal fit HPC before Salad before local."""
    fitting = (seat for seat in seats if misfit(need, seat) is None)
    return min(fitting, key=lambda seat: _preference(need, seat), default=None)


def explain(
    need: Requirements,
    seats: Collection[Seat],
    idle: Collection[Seat],
    quarantined: Collection[Seat] = (),
) -> str:
    """Why a waiting job with this need does not run yet, in one sentence.

    quarantined: seats that get no work for a while, and are in neither of the others.
    """
    if any(misfit(need, seat) is None for seat in quarantined) and not any(
        misfit(need, seat) is None for seat in seats
    ):
        return "every worker that fits is in quarantine; `relaymd workers` says why"
    if not seats:
        return "no worker is registered"
    suitable = [seat for seat in seats if misfit(need, seat) is None]
    if not suitable and (wide := joined(need, seats)) is not None:
        return f"it waits until {len(wide.slots)} slots of worker {wide.worker} are idle at once"
    if not suitable:
        reasons = sorted({f"{seat.cluster}: {misfit(need, seat)}" for seat in seats})
        return "no worker fits: " + "; ".join(reasons)
    taken = {(seat.worker, seat.slot) for seat in suitable} - {
        (seat.worker, seat.slot) for seat in idle
    }
    if len(taken) == len(suitable):
        if len(suitable) == 1:
            return "the only fitting slot is busy"
        return f"all {len(suitable)} fitting slots are busy"
    return "it is next for an idle slot"


def _by_kind(idle: Iterable[Seat]) -> dict[object, list[Seat]]:
    """Seats that no job could tell apart, together, the one to be taken first at the end.

    A pass then looks at each kind once an assignment and not at each idle seat.
    """
    kinds: dict[object, list[Seat]] = {}
    unique = {(seat.worker, seat.slot): seat for seat in idle}
    for _, seat in sorted(unique.items(), reverse=True):
        kinds.setdefault(_kind(seat), []).append(seat)
    return kinds


def _take(kinds: dict[object, list[Seat]], seat: Seat) -> None:
    if seat.also:
        for slot in seat.slots:
            _drop(kinds, seat.worker, slot)
        return
    alike = kinds[_kind(seat)]
    alike.pop()
    if not alike:
        del kinds[_kind(seat)]


def _drop(kinds: dict[object, list[Seat]], worker: WorkerId, slot: int) -> None:
    for kind, alike in [*kinds.items()]:
        left = [seat for seat in alike if (seat.worker, seat.slot) != (worker, slot)]
        if not left:
            del kinds[kind]
        elif len(left) < len(alike):
            kinds[kind] = left


def _each(kinds: Mapping[object, Sequence[Seat]]) -> Iterator[Seat]:
    return (seat for alike in kinds.values() for seat in alike)


def _kind(seat: Seat) -> object:
    """All that `misfit` and `_preference` look at, but for the worker's name."""
    gpus = tuple((gpu.model, gpu.vram_gb) for gpu in seat.gpus)
    return (seat.provider, seat.cluster, seat.image, seat.platforms, gpus)


def _preference(need: Requirements, seat: Seat) -> tuple[object, ...]:
    return (surplus(need, seat), seat.provider.rank, seat.worker, seat.slot)
