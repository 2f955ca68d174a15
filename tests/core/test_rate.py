import pytest

from relaymd.core.checkpoint import Progress
from relaymd.core.ids import Epoch, Monotonic
from relaymd.core.rate import Rate, Track, heard, rate, rate_of, seconds_left


def track(*points: tuple[float, Progress], epoch: int = 1) -> Track:
    found: Track | None = None
    for at, progress in points:
        found = heard(found, Epoch(epoch), progress, Monotonic(at))
    assert found is not None
    return found


def step(number: int) -> Progress:
    return Progress(step=number, total_steps=1000)


def test_a_rate_is_what_was_done_over_the_time_it_took() -> None:
    begin, end = Progress(fraction=0.25, step=100), Progress(fraction=0.5, step=200)
    assert rate(begin, end, 10.0) == Rate(fraction=0.025, steps=10.0)


@pytest.mark.parametrize(
    ("begin", "end", "seconds"),
    [
        (step(1), step(2), 0.0),
        (step(1), step(2), -1.0),
        (step(2), step(2), 1.0),
        (step(2), step(1), 1.0),
        (Progress(), step(1), 1.0),
        (Progress(step=1), Progress(fraction=0.5), 1.0),
    ],
)
def test_there_is_none_where_nothing_moved_on_or_nobody_said_how_far(
    begin: Progress, end: Progress, seconds: float
) -> None:
    assert rate(begin, end, seconds) is None


def test_what_was_before_the_first_change_does_not_count() -> None:
    """The engine compiled for a minute, and then made ten steps a second."""
    found = track((0.0, step(0)), (60.0, step(10)), (70.0, step(110)))
    assert rate_of(found) == Rate(steps=10.0)
    assert rate_of(track((0.0, step(0)), (60.0, step(600)))) == Rate(steps=10.0), "all there is"


def test_hearing_the_same_again_changes_nothing() -> None:
    once = track((0.0, step(0)), (10.0, step(100)), (20.0, step(200)))
    assert heard(once, Epoch(1), step(200), Monotonic(500.0)) is once
    assert rate_of(once) == Rate(steps=10.0)
    assert rate_of(track((0.0, step(0)))) is None


def test_a_segment_begins_anew() -> None:
    first = track((0.0, step(0)), (10.0, step(100)))
    assert rate_of(heard(first, Epoch(2), step(100), Monotonic(99.0))) is None


def test_a_long_segment_is_remembered_by_three_points() -> None:
    found = track(*((float(n), step(n)) for n in range(500)))
    assert len(found.points) == 3
    assert rate_of(found) == Rate(steps=1.0)


@pytest.mark.parametrize(
    ("progress", "at", "left"),
    [
        (None, Rate(steps=1.0), None),
        (step(900), None, None),
        (step(900), Rate(steps=10.0), 10.0),
        (step(2000), Rate(steps=10.0), 0.0),
        (Progress(fraction=0.5), Rate(fraction=0.01), 50.0),
        (Progress(fraction=0.5), Rate(steps=10.0), None),
        (Progress(step=5), Rate(steps=10.0), None),
        (Progress(step=5, fraction=0.5), Rate(steps=10.0, fraction=0.1), 5.0),
    ],
)
def test_what_is_left_follows_from_steps_or_else_from_the_fraction(
    progress: Progress | None, at: Rate | None, left: float | None
) -> None:
    assert seconds_left(progress, at) == left
