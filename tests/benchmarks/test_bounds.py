"""No benchmark is waited for without end."""

import asyncio
import subprocess
import sys

import pytest

from benchmarks.__main__ import AT_LENGTH, BENCHMARKS, chosen
from benchmarks.bounds import OverdueError, within

DEAF = """
import asyncio, time
from benchmarks.bounds import within
async def main():
    async with within(0.01, grace=0.1):
        time.sleep(60)
asyncio.run(main())
"""


async def test_what_takes_too_long_has_failed_and_says_so() -> None:
    with pytest.raises(OverdueError, match=r"not done in 0\.01 s"):
        async with within(0.01):
            await asyncio.Event().wait()


async def test_a_time_limit_of_the_benchmark_itself_stays_what_it_is() -> None:
    with pytest.raises(TimeoutError):
        async with within(60):
            raise TimeoutError("the broker did not answer")


def test_what_does_not_hear_of_it_ends_the_process_and_tells_where_it_was() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DEAF], capture_output=True, text=True, timeout=30, check=False
    )

    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "main" in ended.stderr


def test_a_quick_run_leaves_out_what_takes_long_unless_it_is_named() -> None:
    assert {*chosen([], quick=True)} == {*BENCHMARKS} - AT_LENGTH
    assert [*chosen([], quick=False)] == [*BENCHMARKS]
    assert chosen(["churn"], quick=True) == ["churn"]
