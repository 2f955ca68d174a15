"""How the time of a drain is divided."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaymd.core.draining import GOODBYE_SECONDS, plan, planned_handoff, usable, window
from relaymd.core.ids import Monotonic

seconds = st.floats(min_value=0, max_value=1e6)


@pytest.mark.parametrize(
    ("longest", "end", "until"),
    [
        (120.0, None, 220.0),
        (120.0, 1000.0, 220.0),
        (120.0, 150.0, 150.0 - GOODBYE_SECONDS),
        (120.0, 99.0, 100.0),
    ],
)
def test_a_drain_takes_what_is_configured_but_never_more_than_is_left(
    longest: float, end: float | None, until: float
) -> None:
    given_end = None if end is None else Monotonic(end)
    assert window(now=Monotonic(100.0), longest=longest, end=given_end) == until


@given(seconds, seconds, st.none() | seconds)
def test_the_engine_gets_at_least_half_and_the_upload_the_rest(
    now: float, left: float, last_cycle: float | None
) -> None:
    until = Monotonic(now + left)
    found = plan(now=Monotonic(now), until=until, last_cycle=last_cycle)
    assert found.store_until == until
    assert now + left / 2 - 1e-6 <= found.engine_until <= until


@pytest.mark.parametrize(("notice", "seconds"), [(30.0, 25.0), (6.0, 3.0), (0.0, 0.0)])
def test_of_the_notice_before_a_kill_the_goodbye_is_kept(notice: float, seconds: float) -> None:
    assert usable(notice) == seconds


def test_an_upload_that_took_long_gets_more_time() -> None:
    until = Monotonic(100.0)
    quick = plan(now=Monotonic(0.0), until=until, last_cycle=1.0)
    slow = plan(now=Monotonic(0.0), until=until, last_cycle=20.0)
    assert (quick.engine_until, slow.engine_until) == (86.5, 59.0)


def test_a_drain_whose_time_is_over_is_planned_for_now() -> None:
    found = plan(now=Monotonic(10.0), until=Monotonic(5.0), last_cycle=3.0)
    assert found.engine_until == found.store_until == 5.0


@given(seconds, seconds, seconds)
def test_a_planned_handoff_lies_within_the_last_quarter_at_the_earliest(
    now: float, left: float, longest: float
) -> None:
    begin = planned_handoff(now=Monotonic(now), end=Monotonic(now + left), longest=longest)
    assert now + left * 0.75 - 1e-3 <= begin <= now + left


def test_a_long_allocation_is_left_just_in_time_for_its_drain() -> None:
    begin = planned_handoff(now=Monotonic(0.0), end=Monotonic(86400.0), longest=120.0)
    assert begin == 86400.0 - 120.0 - 2 * GOODBYE_SECONDS
