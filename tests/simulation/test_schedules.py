"""Thousands of schedules of disasters, after each step of which everything holds."""

import os

import pytest

from tests.simulation.many import run_one
from tests.simulation.run import USUAL
from tests.simulation.shrink import shrunk, told
from tests.simulation.world import Shape

SCHEDULES = int(os.environ.get("RELAYMD_SCHEDULES", "1000"))
"""As many as fit into the time of `make test` on two cores; `make simulate` runs any number."""

AT_ONCE = 20

OPEN = Shape(**{**vars(USUAL), "slots": 0})


@pytest.mark.parametrize("first", range(0, SCHEDULES, AT_ONCE))
def test_whatever_fails_in_whatever_order_every_invariant_holds(first: int) -> None:
    for seed in range(first, min(first + AT_ONCE, SCHEDULES)):
        outcome = run_one((seed, OPEN))
        assert not outcome.violations, told(shrunk(outcome))
