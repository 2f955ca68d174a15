"""Bugs that were planted: a simulator that does not find them would prove nothing."""

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.recipe import Recipe
from tests.simulation.run import simulate

ENOUGH = 2000
"""Schedules within which each must be found. Each is found within the first hundred."""

SIGNS = {
    "drop the epoch check": "never said so",
    "commit before upload": "generation",
    "requeue from a state the reaper read earlier": "it was heard",
    "treat unknown as dead": "its worker lives",
    "forget the outbox": "the stream of events",
    "say a last word before it is on disk": "not on its disk",
    "forget the worker's outbox": "was never said",
    "say a last word only once": "nobody has answered it",
}
"""What the violation says: it must be found for what it is, not because it breaks something."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found(mutant: Recipe) -> None:
    for seed in range(ENOUGH):
        outcome = simulate(seed, recipe=mutant)
        if any(SIGNS[mutant.name] in violation for violation in outcome.violations):
            return
    pytest.fail(f"{mutant.name}: not found in {ENOUGH} schedules")
