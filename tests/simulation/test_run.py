"""One seed is one run, and a run that failed can be told, seen again, and made smaller."""

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.mutants import CommitFirst
from tests.simulation.plan import KINDS, WEATHERS, planned
from tests.simulation.run import USUAL, simulate
from tests.simulation.shrink import kind_of, shrunk, told

ROOT = Path(__file__).resolve().parents[2]
SEEDS = (3, 4, 5)

DIGESTS = """
from tests.simulation.run import simulate
print(*(simulate(seed, digested=True).digest for seed in {seeds}))
"""


def digests_elsewhere(seeds: tuple[int, ...], hash_seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", DIGESTS.format(seeds=seeds)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_seed_gives_every_message_and_event_again_to_the_byte() -> None:
    here = [simulate(seed, digested=True).digest for seed in SEEDS]

    assert [simulate(seed, digested=True).digest for seed in SEEDS] == here
    assert digests_elsewhere(SEEDS, "1") == here
    assert digests_elsewhere(SEEDS[::-1], "4711") == here[::-1]


def test_two_seeds_are_two_stories() -> None:
    assert simulate(1, digested=True).digest != simulate(2, digested=True).digest


def test_leaving_out_a_fault_leaves_the_plan_of_the_others_as_it_was() -> None:
    plan = planned(8, USUAL)
    outcome = simulate(8, only={fault.number for fault in plan[1:]})

    assert outcome.faults == plan[1:]


def test_every_kind_of_fault_happens_in_a_hundred_schedules() -> None:
    seen = {fault.kind for seed in range(100) for fault in planned(seed, USUAL)}

    assert seen == {*KINDS, *WEATHERS}


def test_the_dead_leave_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = simulate(6)

    assert not outcome.violations


@pytest.fixture(scope="module")
def failing() -> int:
    recipe = CommitFirst()
    return next(seed for seed in range(50) if simulate(seed, recipe=recipe).violations)


def test_a_failing_run_is_shrunk_to_what_still_fails_the_same_way(failing: int) -> None:
    recipe = CommitFirst()
    whole = simulate(failing, recipe=recipe)
    small = shrunk(whole, recipe=recipe)

    assert kind_of(small) == kind_of(whole) != ""
    assert small.shape.jobs == 1
    assert not small.faults


def test_a_failing_run_tells_its_seed_its_faults_and_how_to_see_it_again(failing: int) -> None:
    shape = replace(USUAL, faults=3)
    outcome = next(
        found
        for seed in range(failing, failing + 100)
        if (found := simulate(seed, shape, recipe=CommitFirst())).violations and found.faults
    )
    text = told(outcome)

    assert text.startswith(f"seed {outcome.seed}: 5 jobs, 4 workers")
    assert f"violated: {outcome.violations[0]}" in text
    assert str(outcome.faults[0]) in text
    assert f"--seed {outcome.seed} --jobs 5 --workers 4 --slots 1 --faults 3 --only 0," in text
    assert "orchestrator1" in text
