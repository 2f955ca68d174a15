"""What waits, in the figures that planning needs."""

from collections.abc import Mapping

import msgspec

from relaymd.core.demand import demands
from relaymd.core.ids import JobId, UnixTime
from relaymd.core.job import Job, JobState
from relaymd.core.resources import Requirements
from tests.core.jobs import job_in

NEED = Requirements(gpus=1)
NOW = UnixTime(10_000.0)


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
    (found,) = demands(waiting, running, {NEED: 7.0}, now=NOW, overflow_after=600.0)
    assert (found.need, found.waiting, found.overdue, found.oldest) == (NEED, 3, 2, 1_000.0)
    assert (found.priority, found.running, found.since_turn) == (5, 1, 7.0)


def test_a_class_that_just_had_its_turn_is_patient_again() -> None:
    waiting = lines(job("j1", 9_000.0))
    (fresh,) = demands(waiting, [], {}, now=NOW, overflow_after=600.0)
    (served,) = demands(waiting, [], {NEED: 3.0}, now=NOW, overflow_after=600.0)
    assert (fresh.patience, served.patience) == (1_000.0, 3.0)


def test_a_clock_that_was_set_back_makes_nobody_wait_a_negative_time() -> None:
    (found,) = demands(lines(job("j1", 20_000.0)), [], {}, now=NOW, overflow_after=600.0)
    assert (found.oldest, found.overdue) == (0.0, 0)


def test_a_class_of_which_nothing_waits_is_left_out() -> None:
    assert demands({NEED: []}, [], {}, now=NOW, overflow_after=600.0) == []
