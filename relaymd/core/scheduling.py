"""Which waiting job goes to which idle seat, and why not for the others."""

import heapq
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import msgspec

from relaymd.core.avoiding import Avoided, waits
from relaymd.core.idle import Idle
from relaymd.core.ids import JobId, UnixTime
from relaymd.core.job import Job
from relaymd.core.resources import Requirements, Seat, misfit
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
    avoid: Mapping[JobId, Avoided] = MappingProxyType({}),
) -> list[Assign]:
    """Give idle seats to waiting jobs: priority, then age; each to the seat it fits best.

    lines: the waiting jobs by class, each in the order of `urgency`. Only as many of each are
    looked at as get a seat: a class whose head finds none has none that does. seats: all there
    are, idle or not; a job that needs several slots keeps those that are idle from less urgent
    ones, until there are enough. avoid: nodes on which a job ended badly. It goes elsewhere
    while it can, for some time also waits for that, and then takes what there is.
    """
    free = Idle(idle, {node for one in avoid.values() for node in one.nodes})
    heads = [(urgency(line[0]), 0, need) for need, line in lines.items()]
    order = {need: number for number, need in enumerate(lines)}
    queue = [(key, order[need], index) for key, index, need in heads]
    needs = list(lines)
    heapq.heapify(queue)
    steps: list[Assign] = []
    while queue and free:
        _, number, index = heapq.heappop(queue)
        need = needs[number]
        line = lines[need]
        job = line[index].id
        seat = free.best(need)
        if seat is None:
            for worker, slot in kept_free(need, seats, [*free]):
                free.drop(worker, slot)
            continue
        if job in avoid:
            seat = _elsewhere(need, avoid[job], free, seats)
        if seat is not None:
            steps.append(Assign(job, seat))
            free.take(seat)
        if index + 1 < len(line):
            heapq.heappush(queue, (urgency(line[index + 1]), number, index + 1))
    return steps


def _elsewhere(
    need: Requirements, avoid: Avoided, free: Idle, seats: Collection[Seat]
) -> Seat | None:
    """The best seat on another node; None: it waits for one, and who is behind it does not."""
    seat = free.best(need, avoid.nodes)
    if seat is not None or waits(need, avoid, seats):
        return seat
    return free.best(need)


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
