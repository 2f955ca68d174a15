"""The waiting jobs in their order."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from relaymd.core.backlog import LONGEST_REST, Backlog
from relaymd.core.ids import JobId, UnixTime
from relaymd.core.job import Job, JobState
from relaymd.core.resources import Requirements
from relaymd.core.scheduling import urgency
from tests.core.jobs import job_in

ANY = Requirements()
NOW = UnixTime(1000.0)


def job(
    id: str,
    *,
    state: JobState = JobState.QUEUED,
    need: Requirements = ANY,
    priority: int = 0,
    at: float = 0.0,
    queued_at: float = 0.0,
    not_before: float = 0.0,
) -> Job:
    return msgspec.structs.replace(
        job_in(state),
        id=JobId(id),
        requirements=need,
        priority=priority,
        submitted_at=UnixTime(at),
        queued_at=UnixTime(queued_at),
        not_before=UnixTime(not_before),
    )


def order(backlog: Backlog, need: Requirements = ANY) -> list[str]:
    return [each.id for each in backlog.lines().get(need, ())]


def test_a_line_is_ordered_by_priority_and_then_by_age() -> None:
    backlog = Backlog()
    for each in (
        job("c", at=3.0),
        job("a", at=1.0),
        job("u", at=9.0, priority=1),
        job("b", at=2.0),
    ):
        backlog.put(each)
    assert order(backlog) == ["u", "a", "b", "c"]


def test_each_class_of_requirements_has_a_line_while_somebody_stands_in_it() -> None:
    backlog, gpu = Backlog(), Requirements(gpus=1)
    backlog.put(job("a"))
    backlog.put(job("b", need=gpu))
    assert {*backlog.lines()} == {ANY, gpu}
    backlog.drop(JobId("b"))
    assert {*backlog.lines()} == {ANY}


def test_a_job_that_was_assigned_leaves_its_line_and_one_that_comes_back_joins_it() -> None:
    backlog = Backlog()
    backlog.put(job("a"))
    backlog.put(job("a", state=JobState.ASSIGNED))
    assert (order(backlog), len(backlog)) == ([], 0)
    backlog.put(job("a"))
    assert (order(backlog), len(backlog)) == (["a"], 1)


def test_the_same_job_put_twice_stands_there_once() -> None:
    backlog = Backlog()
    backlog.put(job("a"))
    backlog.put(job("a", priority=5))
    assert order(backlog) == ["a"]


def test_a_job_that_backs_off_waits_apart_until_its_time_has_come() -> None:
    backlog = Backlog()
    backlog.put(job("late", not_before=NOW + 10))
    backlog.put(job("soon", not_before=NOW + 5))
    assert (order(backlog), len(backlog), backlog.next_wake()) == ([], 2, NOW + 5)
    backlog.wake(UnixTime(NOW + 5))
    assert (order(backlog), backlog.next_wake()) == (["soon"], NOW + 10)


def test_a_job_that_backs_off_can_be_dropped() -> None:
    backlog = Backlog()
    backlog.put(job("a", not_before=NOW + 5))
    backlog.drop(JobId("a"))
    backlog.wake(UnixTime(NOW + 6))
    assert (order(backlog), len(backlog), backlog.next_wake()) == ([], 0, None)


def test_after_the_clock_was_set_back_nobody_rests_longer_than_anything_does() -> None:
    backlog = Backlog()
    backlog.put(job("a", not_before=NOW + LONGEST_REST + 1))
    backlog.put(job("b", not_before=NOW + 1))
    backlog.wake(NOW)
    assert order(backlog) == ["a"]


def test_after_the_clock_was_set_back_nobody_waits_for_a_time_that_the_wrong_one_named() -> None:
    """Found by chaos: a backoff of a second became a quarter of an hour."""
    backlog = Backlog()
    backlog.wake(NOW)
    backlog.put(job("a", queued_at=NOW, not_before=NOW + 1))
    backlog.wake(UnixTime(NOW - 0.5))
    assert order(backlog) == []
    backlog.wake(UnixTime(NOW - 900))
    assert order(backlog) == ["a"]
    backlog.put(job("b", queued_at=NOW - 900, not_before=NOW - 899))
    backlog.wake(UnixTime(NOW - 899.5))
    assert order(backlog) == ["a"]


def test_so_it_is_after_a_restart_that_came_later_than_the_step() -> None:
    backlog = Backlog()
    backlog.put(job("a", queued_at=NOW + 900, not_before=NOW + 901))
    backlog.put(job("b", queued_at=NOW, not_before=NOW + 1))
    backlog.wake(NOW)
    assert order(backlog) == ["a"]


def test_dropping_what_is_not_there_changes_nothing() -> None:
    backlog = Backlog()
    backlog.drop(JobId("nobody"))
    assert len(backlog) == 0


step = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([JobState.QUEUED, JobState.QUEUED, JobState.RUNNING, JobState.COMPLETED]),
    st.sampled_from([ANY, Requirements(gpus=1)]),
    st.integers(0, 2),
    st.sampled_from([0.0, 500.0, 1500.0]),
)


@given(st.lists(step, max_size=20))
def test_whatever_happens_to_jobs_the_lines_hold_exactly_those_that_may_run(
    steps: list[tuple[str, JobState, Requirements, int, float]],
) -> None:
    backlog, latest = Backlog(), dict[str, Job]()
    for id, state, need, priority, not_before in steps:
        latest[id] = job(id, state=state, need=need, priority=priority, not_before=not_before)
        backlog.put(latest[id])
    backlog.wake(NOW)
    queued = {id for id, each in latest.items() if each.state is JobState.QUEUED}
    ready = {id for id in queued if latest[id].not_before <= NOW}
    assert {each.id for each in backlog} == queued
    assert {each.id for line in backlog.lines().values() for each in line} == ready
    for need, line in backlog.lines().items():
        assert [*line] == sorted(line, key=urgency)
        assert {each.requirements for each in line} == {need}
