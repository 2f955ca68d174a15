"""Looks that meet a steady rhythm everywhere."""

from collections.abc import Iterator
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from relaymd.core.rhythm import out_of_step

TRIES = 20
BUSY = 0.3
"""The share of its time in which an engine cannot be looked at."""


def looks(first: int) -> Iterator[float]:
    """Their times, in units of the mean wait."""
    now = 0.0
    for number in range(first, first + TRIES):
        yield now
        now += out_of_step(1.0, number)


@given(
    first=st.integers(0, 10_000),
    period=st.floats(0.05, 3.0),
    begin=st.floats(0.0, 1.0),
)
def test_an_engine_that_writes_at_a_steady_pace_is_not_met_writing_again_and_again(
    first: int, period: float, begin: float
) -> None:
    met = [(now / period + begin) % 1 < BUSY for now in looks(first)]
    longest = max((len([*run]) for busy, run in groupby(met) if busy), default=0)
    assert longest <= TRIES * 2 // 3


def test_the_wait_is_as_asked_in_the_mean() -> None:
    waits = [out_of_step(0.2, number) for number in range(100)]
    assert all(0.1 <= wait < 0.3 for wait in waits)
    assert abs(sum(waits) / 100 - 0.2) < 0.005
