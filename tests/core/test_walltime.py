"""Wall times as SLURM writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaymd.core.walltime import seconds_in, spelled


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400.0),
        ("90:30", 5430.0),
        ("4:00:00", 14400.0),
        ("08:09:09", 8 * 3600 + 9 * 60 + 9.0),
        ("1-12", 36 * 3600.0),
        ("1-12:30", 36 * 3600 + 1800.0),
        ("2-00:00:01", 172801.0),
    ],
)
def test_every_form_that_slurm_reads_is_read(text: str, seconds: float) -> None:
    assert seconds_in(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "4h", "-4", "1:2:3:4", "4:60:00", "1-24:00", "0", "0:00:00", "1--2", "٣", "9" * 8]
)
def test_what_slurm_would_refuse_or_take_for_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"wall time|too large|more than nothing"):
        seconds_in(text)


@given(st.integers(1, 366 * 86400))
def test_what_is_spelled_is_read_back(seconds: int) -> None:
    assert seconds_in(spelled(seconds)) == seconds
