"""A job's history, folded into who ran it from where to where and what was lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaymd.core import events as e
from relaymd.core.checkpoint import Progress
from relaymd.core.events import JobEvent
from relaymd.core.ids import Epoch, Generation, UnixTime
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.segments import Segment, segments
from tests.core.jobs import EVENTS, checkpoint, event_of, lease

LOST = AttemptEnd(outcome=Outcome.INTERRUPTED, reason="the worker went silent")


def committed(generation: int, epoch: int, step: int | None) -> e.Checkpointed:
    made = checkpoint(generation, epoch)
    progress = None if step is None else Progress(step=step, total_steps=100)
    return e.Checkpointed(
        epoch=Epoch(epoch),
        checkpoint=type(made)(
            generation=made.generation,
            epoch=made.epoch,
            manifest=made.manifest,
            digest=made.digest,
            at=UnixTime(generation * 10.0),
            progress=progress,
        ),
    )


def story(*events: tuple[float, JobEvent]) -> list[Segment]:
    return segments((UnixTime(at), event) for at, event in events)


RELAY = story(
    (0, e.Submitted(title="t")),
    (1, e.Assigned(lease=lease(1))),
    (2, e.Started(epoch=Epoch(1))),
    (3, e.Launched(epoch=Epoch(1))),
    (10, committed(1, 1, 20)),
    (15, e.Interrupted(epoch=Epoch(1), end=LOST)),
    (16, e.Assigned(lease=lease(2))),
    (17, e.Launched(epoch=Epoch(2), restored=Generation(1), progress=Progress(step=20))),
    (18, e.Draining(epoch=Epoch(2), reason="SIGTERM")),
    (20, committed(2, 2, 60)),
    (21, e.HandedOff(epoch=Epoch(2), reason="SIGTERM")),
    (22, e.Assigned(lease=lease(3))),
    (23, e.Launched(epoch=Epoch(3), restored=Generation(2), progress=Progress(step=60))),
    (30, committed(3, 3, 100)),
    (31, e.Completed(epoch=Epoch(3))),
)


def test_there_is_one_segment_a_lease_in_their_order() -> None:
    assert [segment.epoch for segment in RELAY] == [1, 2, 3]
    assert [segment.worker for segment in RELAY] == ["w-1", "w-2", "w-3"]
    assert [segment.how for segment in RELAY] == ["interrupted", "handed over", "completed"]


def test_a_segment_begins_where_the_one_before_committed_last() -> None:
    assert [s.begin.step if s.begin else 0 for s in RELAY] == [0, 20, 60]
    assert [s.end.step if s.end else 0 for s in RELAY] == [20, 60, 100]
    assert [s.restored for s in RELAY] == [0, 1, 2]
    assert [s.committed for s in RELAY] == [1, 2, 3]


def test_only_what_came_after_the_last_commit_is_lost() -> None:
    assert [segment.lost_seconds for segment in RELAY] == [5.0, 0.0, 0.0]


def test_the_times_of_a_segment_are_those_of_its_events() -> None:
    first, second, _ = RELAY

    assert (first.assigned_at, first.started_at, first.launched_at) == (1.0, 2.0, 3.0)
    assert (second.draining_at, second.ended_at) == (18.0, 21.0)
    assert (first.reason, second.reason) == (LOST.reason, "SIGTERM")


def test_an_engine_that_never_committed_lost_all_since_its_launch() -> None:
    (only,) = story(
        (1, e.Assigned(lease=lease(1))),
        (3, e.Launched(epoch=Epoch(1))),
        (9, e.Interrupted(epoch=Epoch(1), end=LOST)),
    )

    assert only.lost_seconds == 6.0


def test_nothing_is_lost_where_no_engine_ran() -> None:
    (only,) = story((1, e.Assigned(lease=lease(1))), (9, e.Interrupted(epoch=Epoch(1), end=LOST)))

    assert only.lost_seconds is None
    assert only.ended_at == 9.0


def test_a_segment_that_runs_has_lost_nothing_yet() -> None:
    (only,) = story((1, e.Assigned(lease=lease(1))), (3, e.Launched(epoch=Epoch(1))))

    assert only.how == "running"
    assert only.lost_seconds is None


def test_a_checkpoint_without_progress_does_not_reset_it() -> None:
    (only,) = story(
        (1, e.Assigned(lease=lease(1))),
        (2, e.Launched(epoch=Epoch(1))),
        (10, committed(1, 1, 20)),
        (20, committed(2, 1, None)),
    )

    assert only.end == Progress(step=20, total_steps=100)
    assert only.committed == 2


def test_each_segment_has_the_rate_at_which_it_came_to_its_last_checkpoint() -> None:
    """From its launch on: 20 steps in 7 s, 40 in 3 s, 40 in 7 s."""
    assert [s.rate.steps if s.rate else None for s in RELAY] == [20 / 7, 40 / 3, 40 / 7]


def test_a_segment_that_restored_what_says_nothing_of_its_progress_has_no_rate() -> None:
    (only,) = story(
        (1, e.Assigned(lease=lease(1))),
        (2, e.Launched(epoch=Epoch(1), restored=Generation(1))),
        (10, committed(2, 1, 20)),
    )
    assert only.rate is None


@pytest.mark.parametrize(
    ("event", "how"),
    [
        (e.Failed(epoch=Epoch(1), end=AttemptEnd(outcome=Outcome.ENGINE_FAILED, reason="r")),
         "engine_failed"),
        (e.Cancelled(epoch=Epoch(1)), "cancelled"),
        (e.HandedOff(epoch=Epoch(1), reason="r"), "handed over"),
        (e.Completed(epoch=Epoch(1)), "completed"),
    ],
)  # fmt: skip
def test_how_a_segment_ended_is_said_in_one_word(event: JobEvent, how: str) -> None:
    (only,) = story((1, e.Assigned(lease=lease(1))), (2, event))

    assert only.how == how
    assert only.ended_at == 2.0


def test_events_of_a_lease_whose_assignment_is_not_in_the_history_are_passed_over() -> None:
    assert story((1, e.Launched(epoch=Epoch(1))), (2, committed(1, 1, 5))) == []


@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(1, 4)), max_size=30))
def test_no_history_is_too_strange(history: list[tuple[type[JobEvent], int]]) -> None:
    found = segments(
        (UnixTime(float(at)), event_of(kind, Epoch(epoch)))
        for at, (kind, epoch) in enumerate(history)
    )

    assert len({segment.epoch for segment in found}) == len(found)
    assert all(s.lost_seconds is None or s.lost_seconds >= 0 for s in found if s.committed == 0)
