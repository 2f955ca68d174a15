"""Which waiting job goes to which idle seat."""

from collections.abc import Sequence
from itertools import groupby

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from relaymd.core.idle import best
from relaymd.core.ids import JobId, UnixTime, WorkerId
from relaymd.core.job import Job, JobState
from relaymd.core.resources import Gpu, ProviderKind, Requirements, Seat, misfit
from relaymd.core.scheduling import assign, explain, urgency
from tests.core.jobs import job_in

ANY = Requirements()
ONE_GPU = Requirements(gpus=1)
A100 = Gpu(model="NVIDIA A100", vram_gb=40.0)
SMALL = Gpu(model="NVIDIA T4", vram_gb=16.0)


def waiting(id: str, need: Requirements = ANY, priority: int = 0, at: float = 0.0) -> Job:
    return msgspec.structs.replace(
        job_in(JobState.QUEUED),
        id=JobId(id),
        requirements=need,
        priority=priority,
        submitted_at=UnixTime(at),
    )


def seat(
    worker: str, *gpus: Gpu, slot: int = 0, provider: ProviderKind = ProviderKind.LOCAL
) -> Seat:
    return Seat(worker=WorkerId(worker), slot=slot, gpus=gpus, provider=provider)


def lines(jobs: Sequence[Job]) -> dict[Requirements, list[Job]]:
    def need(job: Job) -> str:
        return repr(job.requirements)

    classes = groupby(sorted(jobs, key=need), key=need)
    found = [sorted(members, key=urgency) for _, members in classes]
    return {line[0].requirements: line for line in found}


def assigned(jobs: Sequence[Job], idle: Sequence[Seat]) -> dict[str, str]:
    return {step.job: step.seat.worker for step in assign(lines(jobs), idle)}


def test_priority_goes_before_age_and_age_before_all_else() -> None:
    jobs = [waiting("old", at=1.0), waiting("young", at=2.0), waiting("urgent", at=3.0, priority=1)]
    assert assigned(jobs, [seat("w1"), seat("w2")]) == {"urgent": "w1", "old": "w2"}


def test_the_order_holds_across_classes() -> None:
    jobs = [waiting("a", ANY, at=2.0), waiting("b", ONE_GPU, at=1.0)]
    assert assigned(jobs, [seat("w1", A100)]) == {"b": "w1"}


def test_jobs_that_fit_nowhere_do_not_hold_up_those_behind_them() -> None:
    impossible = waiting("first", Requirements(gpus=8), priority=9)
    assert assigned([impossible, waiting("second")], [seat("w1")]) == {"second": "w1"}


def test_a_job_takes_the_seat_that_leaves_least_unused() -> None:
    jobs = [waiting("cpu", ANY, at=1.0), waiting("gpu", ONE_GPU, at=2.0)]
    assert assigned(jobs, [seat("big", A100), seat("none")]) == {"cpu": "none", "gpu": "big"}
    assert best(ONE_GPU, [seat("large", A100), seat("small", SMALL)]) == seat("small", SMALL)


def test_at_equal_fit_hpc_comes_before_salad_before_this_machine() -> None:
    kinds = [ProviderKind.LOCAL, ProviderKind.SALAD, ProviderKind.SLURM]
    idle = [seat(str(kind), provider=kind) for kind in kinds]
    jobs = [waiting(f"j{number}", at=number) for number in range(3)]
    assert assigned(jobs, idle) == {"j0": "slurm", "j1": "salad", "j2": "local"}


def test_each_slot_of_a_worker_is_a_seat_of_its_own() -> None:
    jobs = [waiting("a", at=1.0), waiting("b", at=2.0), waiting("c", at=3.0)]
    steps = assign(lines(jobs), [seat("w1", slot=0), seat("w1", slot=1)])
    assert [(step.job, step.seat.slot) for step in steps] == [("a", 0), ("b", 1)]


def test_nothing_waits_or_nobody_is_idle() -> None:
    assert assign({}, [seat("w1")]) == []
    assert assign(lines([waiting("a")]), []) == []


def test_a_pass_looks_only_at_the_head_of_a_line() -> None:
    class Line(list[Job]):
        seen = 0

        def __getitem__(self, index: object) -> Job:  # type: ignore[override]
            Line.seen += 1
            return super().__getitem__(index)  # type: ignore[call-overload,no-any-return]

    assign({ANY: Line(waiting(f"j{n:05d}", at=n) for n in range(10_000))}, [seat("w1")])
    assert Line.seen < 10


needs = st.builds(
    Requirements,
    gpus=st.integers(0, 2),
    vram_gb=st.sampled_from([0.0, 24.0]),
    clusters=st.sampled_from([(), ("local",), ("elsewhere",)]),
)


@given(
    st.lists(st.tuples(needs, st.integers(0, 2)), max_size=8),
    st.lists(st.lists(st.sampled_from([A100, SMALL]), max_size=2), max_size=6),
)
def test_whatever_waits_no_seat_is_given_twice_and_no_fitting_one_stays_empty(
    wanted: list[tuple[Requirements, int]], offered: list[list[Gpu]]
) -> None:
    jobs = [waiting(f"j{n}", need, priority) for n, (need, priority) in enumerate(wanted)]
    idle = [seat(f"w{n}", *gpus) for n, gpus in enumerate(offered)]
    steps = assign(lines(jobs), idle)
    by_id = {job.id: job for job in jobs}
    assert len({step.job for step in steps}) == len(steps)
    assert len({step.seat.worker for step in steps}) == len(steps)
    assert all(misfit(by_id[step.job].requirements, step.seat) is None for step in steps)
    given_away = {step.seat.worker for step in steps}
    left = [job for job in jobs if job.id not in {step.job for step in steps}]
    free = [one for one in idle if one.worker not in given_away]
    assert not [job for job in left for one in free if misfit(job.requirements, one) is None]


def test_a_person_is_told_why_a_job_waits() -> None:
    idle, busy = seat("w1"), seat("w2", A100)
    assert explain(ANY, [], []) == "no worker is registered"
    assert (
        explain(ONE_GPU, [idle], [idle])
        == "no worker fits: local: it has 0 of the 1 GPUs asked for"
    )
    assert explain(ONE_GPU, [idle, busy], [idle]) == "the only fitting slot is busy"
    assert explain(ANY, [idle, busy], []) == "all 2 fitting slots are busy"
    assert explain(ANY, [idle, busy], [idle]) == "it is next for an idle slot"
