"""Bugs that were planted: a simulator that does not find them would prove nothing."""

import pytest

from tests.simulation.mutants import MUTANTS, found_after
from tests.simulation.recipe import Recipe

ENOUGH = 2000
"""Schedules within which each must be found. Each is found within the first hundred."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found_for_what_it_is(mutant: Recipe) -> None:
    assert mutant.sign
    assert found_after(mutant, ENOUGH) is not None
