"""What waits, in the figures that planning needs."""

from collections.abc import Mapping

import msgspec

from relaymd.core.demand import demands
from relaymd.core.ids import JobId, UnixTime, WorkerId
from relaymd.core.job import Job, JobState
from relaymd.core.likeness import Likeness
from relaymd.core.resources import Gpu, Requirements, Seat
from tests.core.jobs import job_in

NEED = Requirements(gpus=1)
NOW = UnixTime(10_000.0)
GPU = Gpu(model="A100", vram_gb=0.0)
PLACES = Likeness([Seat(worker=WorkerId("w"), gpus=(GPU,))])


def job(id: str, since: float, *, priority: int = 0, need: Requirements = NEED) -> Job:
    return msgspec.structs.replace(
        job_in(JobState.QUEUED),
        id=JobId(id),
        queued_at=UnixTime(since),
        priority=priority,
        requirements=need,
    )


def lines(*jobs: Job) -> Mapping[Requirements, list[Job]]:
    return {NEED: [*jobs]}


def test_a_class_is_told_by_its_numbers() -> None:
    waiting = lines(job("j1", 9_990.0, priority=5), job("j2", 9_000.0), job("j3", 9_400.0))
    running = [job("j4", 0.0), job("j5", 0.0, need=Requirements())]
    (found,) = demands(waiting, running, {NEED: 7.0}, PLACES, now=NOW, overflow_after=600.0)
    assert (found.need, found.waiting, found.overdue, found.oldest) == (NEED, 3, 2, 1_000.0)
    assert (found.priority, found.running, found.since_turn) == (5, 1, 7.0)


def test_a_class_that_just_had_its_turn_is_patient_again() -> None:
    waiting = lines(job("j1", 9_000.0))
    (fresh,) = demands(waiting, [], {}, PLACES, now=NOW, overflow_after=600.0)
    (served,) = demands(waiting, [], {NEED: 3.0}, PLACES, now=NOW, overflow_after=600.0)
    assert (fresh.patience, served.patience) == (1_000.0, 3.0)


def test_a_clock_that_was_set_back_makes_nobody_wait_a_negative_time() -> None:
    (found,) = demands(lines(job("j1", 20_000.0)), [], {}, PLACES, now=NOW, overflow_after=600.0)
    assert (found.oldest, found.overdue) == (0.0, 0)


def test_a_class_of_which_nothing_waits_is_left_out() -> None:
    assert demands({NEED: []}, [], {}, PLACES, now=NOW, overflow_after=600.0) == []


def test_classes_that_no_place_can_tell_apart_are_one_and_the_oldest_comes_first() -> None:
    """Here nobody has a device with a memory, and so it does not matter how much is asked for."""
    young, old = (Requirements(gpus=1, vram_gb=much) for much in (10.0, 20.0))
    waiting = {young: [job("j1", 9_500.0)], old: [job("j2", 9_000.0), job("j3", 9_990.0)]}
    (found,) = demands(waiting, [], {}, PLACES, now=NOW, overflow_after=600.0)
    assert (found.waiting, found.overdue, found.oldest) == (3, 1, 1_000.0)
    assert [*found.ahead()] == [(old, 0), (young, 2)]


def test_a_turn_is_that_of_all_that_are_alike_and_is_known_when_they_are_so_no_more() -> None:
    a, b = (Requirements(gpus=1, vram_gb=much) for much in (10.0, 20.0))
    waiting = {a: [job("j1", 0.0)], b: [job("j2", 0.0)]}
    (both,) = demands(waiting, [], {a: 7.0}, PLACES, now=NOW, overflow_after=600.0)
    assert both.since_turn == 7.0

    gpus = tuple(Gpu(model="A100", vram_gb=much) for much in (10.0, 20.0))
    apart = Likeness([Seat(worker=WorkerId("w"), gpus=gpus)])
    found = demands(waiting, [], {a: 7.0}, apart, now=NOW, overflow_after=600.0)
    assert [each.since_turn for each in found] == [7.0, float("inf")]


def test_running_jobs_count_for_whoever_needs_the_like() -> None:
    like = Requirements(gpus=1, gpu_models=("a100",))
    (found,) = demands(
        {like: [job("j1", 0.0)]},
        [job("j2", 0.0, need=Requirements(gpus=1, gpu_models=("A10",)))],
        {},
        PLACES,
        now=NOW,
        overflow_after=600.0,
    )
    assert found.running == 1


def test_the_more_urgent_gets_no_company_that_is_less() -> None:
    like = Requirements(gpus=1, vram_gb=5.0)
    waiting = {NEED: [job("j1", 0.0, priority=5)], like: [job("j2", 0.0)]}
    places = Likeness([Seat(worker=WorkerId("w"), gpus=(Gpu(model="A100", vram_gb=40.0),))])
    found = demands(waiting, [], {}, places, now=NOW, overflow_after=600.0)
    assert sorted((each.priority, each.waiting) for each in found) == [(0, 1), (5, 1)]
