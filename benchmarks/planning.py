"""How long one planning pass takes: `python benchmarks/planning.py [JOBS]`.

Six clusters, each with a hundred allocations at work, ten of them idle, and ten on their way;
10,000 jobs wait, in 4, 200 or 10,000 classes. Printed: the best of five passes, in
milliseconds, and that of counting what waits.
"""

import sys
import time
from collections.abc import Mapping, Sequence

from relaymd.core.allocation import Allocation, AllocationState
from relaymd.core.demand import demands
from relaymd.core.ids import AllocationId, JobId, UnixTime, WorkerId
from relaymd.core.job import Bundle, Job
from relaymd.core.likeness import Likeness
from relaymd.core.planning import plan
from relaymd.core.provisioning import Offer, Plan, PlanningPolicy, Supply
from relaymd.core.resources import Gpu, ProviderKind, Requirements, Seat

NOW = UnixTime(1_000_000.0)
CLUSTERS = [f"c{number}" for number in range(6)]
GPU = Gpu(model="a100", vram_gb=40.0)
BUNDLE = Bundle(key="k", digest="d", size=1)


def lines(jobs: int, classes: int) -> Mapping[Requirements, Sequence[Job]]:
    """The jobs, dealt among the classes, which differ in what they need."""
    found: dict[Requirements, list[Job]] = {}
    for number in range(jobs):
        kind = number % classes
        need = Requirements(
            gpus=kind % 2,
            vram_gb=float(kind) / classes * 30,
            clusters=(CLUSTERS[kind % 6], CLUSTERS[(kind + 1) % 6]) if kind % 3 else (),
        )
        job = Job(
            id=JobId(f"j{number}"),
            title="t",
            bundle=BUNDLE,
            requirements=need,
            submitted_at=UnixTime(NOW - number % 5000),
            queued_at=UnixTime(NOW - number % 5000),
        )
        found.setdefault(need, []).append(job)
    return found


def supply() -> Supply:
    seats = [
        Seat(worker=WorkerId(f"{cluster}-{n}"), cluster=cluster, gpus=(GPU,))
        for cluster in CLUSTERS
        for n in range(100)
    ]
    allocations = [
        Allocation(
            id=AllocationId(f"{cluster}-{n}"),
            cluster=cluster,
            state=AllocationState.ACTIVE if n < 100 else AllocationState.SUBMITTED,
            requested_at=UnixTime(NOW - n),
        )
        for cluster in CLUSTERS
        for n in range(110)
    ]
    return Supply(seats=seats, idle=seats[::10], allocations=allocations)


def offers() -> list[Offer]:
    return [
        Offer(
            cluster=cluster,
            provider=ProviderKind.SLURM,
            template=Seat(worker=WorkerId("w"), cluster=cluster, gpus=(GPU,)),
            limit=200,
            wall_seconds=4 * 3600.0,
            wall_spread=0.1,
        )
        for cluster in CLUSTERS
    ]


def one_pass(
    waiting: Mapping[Requirements, Sequence[Job]], there: Supply
) -> tuple[Plan, float, float]:
    """The plan, the seconds of planning, and those of counting before it."""
    begin = time.perf_counter()
    choices = offers()
    likeness = Likeness([*there.seats, *(offer.template for offer in choices)])
    wanted = demands(
        waiting, (), dict.fromkeys(waiting, 60.0), likeness, now=NOW, overflow_after=600.0
    )
    counted = time.perf_counter()
    found = plan(wanted, there, choices, now=NOW, policy=PlanningPolicy())
    end = time.perf_counter()
    return found, end - counted, counted - begin


def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    for classes in (4, 200, jobs):
        waiting = lines(jobs, classes)
        there = supply()
        passes = [one_pass(waiting, there) for _ in range(5)]
        planning = min(seconds for _, seconds, _ in passes) * 1000
        counting = min(seconds for _, _, seconds in passes) * 1000
        print(
            f"{jobs} jobs in {len(waiting)} classes: planning {planning:.1f} ms, "
            f"counting {counting:.1f} ms, {len(passes[0][0].commands)} commands"
        )


if __name__ == "__main__":
    main()
