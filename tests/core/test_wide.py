"""Jobs that need the devices of several slots."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaymd.core.ids import WorkerId
from relaymd.core.resources import Gpu, Requirements, Seat, misfit
from relaymd.core.scheduling import assign, explain
from relaymd.core.wide import joined, kept_free
from tests.core.test_scheduling import lines, waiting

A100 = Gpu(model="NVIDIA A100", vram_gb=40.0)
SMALL = Gpu(model="NVIDIA T4", vram_gb=16.0)
TWO = Requirements(gpus=2)
ONE = Requirements(gpus=1)


def slots(worker: str, *gpus: Gpu) -> list[Seat]:
    """A worker with one GPU a slot."""
    return [Seat(worker=WorkerId(worker), slot=n, gpus=(gpu,)) for n, gpu in enumerate(gpus)]


def test_a_job_takes_as_many_slots_of_one_worker_as_it_needs_devices() -> None:
    seat = joined(TWO, [*slots("w1", A100), *slots("w2", A100, A100, A100)])
    assert seat is not None
    assert (seat.worker, seat.slots, seat.gpus) == ("w2", (0, 1), (A100, A100))


def test_devices_of_two_workers_are_never_joined() -> None:
    assert joined(TWO, [*slots("w1", A100), *slots("w2", A100)]) is None


def test_slots_whose_devices_do_not_suit_are_left_to_others() -> None:
    seat = joined(Requirements(gpus=2, vram_gb=40.0), slots("w1", SMALL, A100, A100))
    assert seat is not None
    assert seat.slots == (1, 2)


def test_what_one_slot_can_do_is_not_joined() -> None:
    assert joined(ONE, slots("w1", A100, A100)) is None


def test_a_job_for_two_devices_gets_two_slots_and_nobody_else_gets_these() -> None:
    jobs = [waiting("wide", TWO, at=1.0), waiting("a", ONE, at=2.0), waiting("b", ONE, at=3.0)]
    steps = assign(lines(jobs), slots("w1", A100, A100, A100))
    given_to = {step.job: step.seat.slots for step in steps}
    assert given_to == {"wide": (0, 1), "a": (2,)}


def test_a_wide_job_is_not_passed_for_ever_by_narrow_ones() -> None:
    """A slot becomes idle at a time, and there is always somebody who would take it."""
    every = slots("w1", A100, A100)
    jobs = [waiting("wide", TWO, at=1.0), waiting("narrow", ONE, at=2.0)]
    assert assign(lines(jobs), every[1:], every) == []
    assert [step.job for step in assign(lines(jobs), every, every)] == ["wide"]


def test_a_more_urgent_narrow_job_goes_first() -> None:
    every = slots("w1", A100, A100)
    jobs = [waiting("wide", TWO, at=1.0), waiting("urgent", ONE, priority=1, at=2.0)]
    assert [step.job for step in assign(lines(jobs), every[1:], every)] == ["urgent"]


def test_only_one_worker_keeps_slots_free_and_it_is_the_one_with_most_of_them() -> None:
    every = [*slots("w1", A100, A100, A100), *slots("w2", A100, A100, A100, A100)]
    idle = [every[0], *every[3:5]]
    assert kept_free(Requirements(gpus=3), every, idle) == {("w2", 0), ("w2", 1)}


def test_nothing_is_kept_free_where_a_slot_alone_will_do_one_day() -> None:
    whole = Seat(worker=WorkerId("w9"), gpus=(A100, A100))
    every = [*slots("w1", A100, A100), whole]
    assert kept_free(TWO, every, every[:1]) == frozenset()


@pytest.mark.parametrize("gpus", [0, 1, 3])
def test_nothing_is_kept_free_for_what_no_worker_could_run(gpus: int) -> None:
    every = slots("w1", A100, A100)
    assert kept_free(Requirements(gpus=gpus), every, every) == frozenset()


def test_a_person_is_told_what_a_wide_job_waits_for() -> None:
    every = slots("w1", A100, A100)
    text = explain(TWO, every, every[:1])
    assert text == "it waits until 2 slots of worker w1 are idle at once"


@given(
    st.lists(st.integers(0, 4), max_size=8),
    st.lists(st.lists(st.sampled_from([A100, SMALL]), max_size=4), max_size=4),
)
def test_whatever_waits_no_slot_is_given_twice(wanted: list[int], offered: list[list[Gpu]]) -> None:
    jobs = [waiting(f"j{n}", Requirements(gpus=gpus), at=n) for n, gpus in enumerate(wanted)]
    idle = [seat for n, gpus in enumerate(offered) for seat in slots(f"w{n}", *gpus)]
    steps = assign(lines(jobs), idle, idle)
    taken = [(step.seat.worker, slot) for step in steps for slot in step.seat.slots]
    assert len({*taken}) == len(taken)
    needs = {job.id: job.requirements for job in jobs}
    assert all(misfit(needs[step.job], step.seat) is None for step in steps)
