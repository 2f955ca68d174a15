"""What a churn cost, as engines' tallies tell it."""

import itertools
import random

import pytest

from benchmarks.churn import CHUNKS, PACE, POISSON, Churn, Loss, loss, rows, steps

FAST = Churn(name="fast", life=3600, poisson=False, compression=600)


def tally(*segments: tuple[int, int, int, float]) -> str:
    """Segments of an engine, its first step, its last, and when the first was done."""
    return "".join(
        f"{number} {at + PACE * (number - first):.3f} {engine}\n"
        for engine, first, last, at in segments
        for number in range(first, last + 1)
    )


def test_a_preemption_costs_what_is_computed_again_and_the_time_in_between() -> None:
    found = loss(steps(tally((7, 1, 20, 0.0), (8, 16, 30, 5.0))))
    assert (found.preemptions, found.redone, found.beside) == (1, 5, 0)
    assert found.idle == pytest.approx(5.0 - 19 * PACE - PACE)


def test_only_what_is_computed_again_grows_with_the_compression() -> None:
    found = Loss(preemptions=2, redone=4, idle=3.0)
    assert found.each(FAST) == pytest.approx((4 * PACE * 600 + 3.0) / 2)


def test_a_life_in_which_nothing_was_computed_makes_the_gap_longer() -> None:
    done = steps(tally((7, 1, 5, 0.0), (9, 6, 8, 40.0)))
    assert loss(done).preemptions == 1
    assert loss(done).idle > 39


def test_an_engine_that_computes_beside_its_successor_is_counted() -> None:
    lines = steps(tally((7, 1, 3, 0.0), (8, 3, 5, 1.0), (7, 4, 5, 1.1)))
    assert loss(lines).beside == 2
    assert rows(FAST, loss(lines), Loss(), Loss(), 0)[-1].missed()


def test_books_that_are_wrong_miss_the_aim() -> None:
    assert any(row.missed() for row in rows(FAST, Loss(), Loss(), Loss(), 1))
    assert not any(row.missed() for row in rows(FAST, Loss(), Loss(), Loss(), 0))


def test_a_line_that_was_cut_by_a_kill_is_left_out() -> None:
    assert [step.number for step in steps("1 0.100 7\n2 0.2")] == [1]


def test_nothing_done_is_nothing_lost() -> None:
    assert loss([]) == Loss()
    assert Loss().each(FAST) == 0


def test_ends_of_a_poisson_process_have_their_mean_and_chunks_are_alike() -> None:
    lives = [*itertools.islice(POISSON.lives(random.Random(1)), 20_000)]
    assert sum(lives) / len(lives) == pytest.approx(60, rel=0.03)
    assert min(lives) < 1
    assert {*itertools.islice(CHUNKS.lives(random.Random(1)), 9)} == {15.0}


def test_the_engine_writes_as_often_as_in_the_real_thing() -> None:
    assert POISSON.steps_between_checkpoints * PACE * POISSON.compression == pytest.approx(900)
    assert CHUNKS.steps_between_checkpoints * PACE * CHUNKS.compression == pytest.approx(900)
    assert POISSON.stored_every == pytest.approx(0.5)
