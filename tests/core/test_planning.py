"""Demand against capacity, case by case."""

from itertools import pairwise
from typing import Any

import pytest

from relaymd.core.allocation import AllocationState
from relaymd.core.clusters import Strategy
from relaymd.core.ids import UnixTime
from relaymd.core.provisioning import Coming, Submit
from relaymd.core.resources import ProviderKind, Requirements
from tests.core.plans import (
    ANY,
    GPU,
    NOW,
    ONE_GPU,
    allocation,
    demand,
    offer,
    planned,
    retired,
    seat,
    submits,
    withdrawn,
)

SALAD, LOCAL = ProviderKind.SALAD, ProviderKind.LOCAL
ACTIVE = AllocationState.ACTIVE


# -- one job, one allocation


def test_one_queued_job_and_three_clusters_make_one_allocation() -> None:
    found = planned({ANY: 1}, [offer("c"), offer("a"), offer("b")])
    assert found.commands == (Submit(cluster="a", reason="for 1 jobs that wait"),)


def test_an_allocation_that_is_on_its_way_is_not_asked_for_again() -> None:
    for state in (AllocationState.REQUESTED, AllocationState.SUBMITTED):
        held = [allocation("x", "a", state)]
        assert planned({ANY: 1}, [offer("a")], held=held).commands == ()


def test_an_allocation_on_its_way_to_one_cluster_counts_for_all() -> None:
    found = planned({ANY: 1}, [offer("a"), offer("b")], held=[allocation("x", "b")])
    assert found.commands == ()


def test_a_job_that_could_go_elsewhere_makes_room_for_one_that_cannot() -> None:
    only_a = Requirements(clusters=("a",))
    held = [allocation("x", "a"), allocation("y", "b")]
    assert planned({ANY: 1, only_a: 1}, [offer("a"), offer("b")], held=held).commands == ()


def test_a_job_that_an_idle_seat_can_take_needs_nothing() -> None:
    assert planned({ANY: 1}, [offer("a")], idle=[seat("w1")]).commands == ()
    found = planned({ONE_GPU: 1}, [offer("a", gpus=(GPU,))], idle=[seat("w1")])
    assert submits(found) == {"a": 1}


def test_jobs_without_need_of_a_gpu_leave_those_seats_to_the_others() -> None:
    seats = [seat("gpu", GPU), seat("cpu")]
    found = planned({ANY: 1, ONE_GPU: 1}, [offer("a", gpus=(GPU,))], idle=seats)
    assert found.commands == ()


def test_an_allocation_of_several_slots_serves_several_jobs() -> None:
    assert submits(planned({ANY: 5}, [offer("a", slots=4)])) == {"a": 2}
    held = [allocation("x", "a")]
    assert planned({ANY: 4}, [offer("a", slots=4)], held=held).commands == ()


def test_the_spare_slots_of_a_new_allocation_serve_the_next_class() -> None:
    found = planned({ANY: 1, Requirements(clusters=("a",)): 3}, [offer("a", slots=4)])
    assert submits(found) == {"a": 1}


def test_a_job_for_several_gpus_takes_several_slots() -> None:
    two = Requirements(gpus=2)
    offers = [offer("a", slots=4, gpus=(GPU,))]
    assert submits(planned({two: 2}, offers)) == {"a": 1}
    assert submits(planned({two: 3}, offers)) == {"a": 2}
    assert planned({two: 2}, offers, held=[allocation("x", "a")]).commands == ()
    assert planned({two: 1}, offers, idle=[seat("w1", GPU), seat("w1", GPU)]).commands == ()
    apart = [seat("w1", GPU), seat("w2", GPU)]
    assert submits(planned({two: 1}, offers, idle=apart)) == {"a": 1}


def test_nothing_is_asked_for_that_would_not_fit() -> None:
    assert planned({ONE_GPU: 3}, [offer("a")]).commands == ()


def test_the_image_that_a_job_needs_is_the_one_that_is_asked_for() -> None:
    offers = [offer("a", image="gmx"), offer("a", image="atom")]
    found = planned({Requirements(worker_image="atom"): 1}, offers)
    assert [each.image for each in found.commands if isinstance(each, Submit)] == ["atom"]


# -- limits


def test_the_limit_counts_everything_that_lives() -> None:
    held = [allocation("x", "a", ACTIVE), allocation("y", "a")]
    assert submits(planned({ANY: 9}, [offer("a", limit=3)], held=held)) == {"a": 1}
    assert submits(planned({ANY: 9}, [offer("a", limit=1)], held=held)) == {}


def test_the_limit_is_that_of_the_cluster_whatever_the_images() -> None:
    offers = [offer("a", image="gmx", limit=3), offer("a", image="atom", limit=3)]
    needs = {Requirements(worker_image=image): 5 for image in ("gmx", "atom")}
    assert submits(planned(needs, offers)) == {"a": 3}


def test_no_more_wait_in_a_queue_than_may() -> None:
    started = allocation("x", "a", started_at=NOW)
    held = [started, allocation("y", "a")]
    assert submits(planned({ANY: 9}, [offer("a", max_pending=3)], held=held)) == {"a": 2}


def test_a_provider_in_trouble_gets_no_submits_and_the_next_one_does() -> None:
    offers = [offer("a", closed="ssh: no route to host"), offer("b")]
    assert submits(planned({ANY: 2}, offers)) == {"b": 2}


def test_what_a_provider_in_trouble_has_accepted_still_counts() -> None:
    offers = [offer("a", closed="ssh: no route to host"), offer("b")]
    assert planned({ANY: 1}, offers, held=[allocation("x", "a")]).commands == ()


def test_what_is_on_its_way_to_a_disabled_cluster_is_moved_to_another() -> None:
    offers = [offer("a", disabled="by ada"), offer("b")]
    found = planned({ANY: 1}, offers, held=[allocation("x", "a")])
    assert (submits(found), withdrawn(found)) == ({"b": 1}, ["x"])


# -- strategies


REACTIVE: dict[str, Any] = {"strategy": Strategy.REACTIVE}


def test_reactive_asks_when_nobody_is_there_or_on_the_way() -> None:
    assert submits(planned({ANY: 5}, [offer("a", **REACTIVE, max_pending=2)])) == {"a": 2}


def test_reactive_waits_while_a_worker_is_there_also_a_busy_one() -> None:
    busy = [seat("w1", cluster="a")]
    assert submits(planned({ANY: 5}, [offer("a", **REACTIVE)], busy=busy)) == {}
    elsewhere = [seat("w1", cluster="b")]
    assert submits(planned({ANY: 1}, [offer("a", **REACTIVE)], busy=elsewhere)) == {"a": 1}


def test_reactive_waits_while_one_is_on_the_way() -> None:
    found = planned({ANY: 5}, [offer("a", **REACTIVE)], held=[allocation("x", "a")])
    assert submits(found) == {}


def test_reactive_does_not_count_a_worker_that_could_not_take_the_job() -> None:
    busy = [seat("w1", cluster="a")]
    offers = [offer("a", **REACTIVE, gpus=(GPU,))]
    assert submits(planned({ONE_GPU: 1}, offers, busy=busy)) == {"a": 1}


def test_reactive_does_not_count_a_worker_at_its_end() -> None:
    busy = [seat("w1", cluster="a", ends=60.0)]
    assert submits(planned({ANY: 1}, [offer("a", **REACTIVE)], busy=busy)) == {"a": 1}


def test_continuous_keeps_the_queue_filled_whoever_works() -> None:
    busy = [seat("w1", cluster="a")]
    held = [allocation("x", "a")]
    found = planned({ANY: 5}, [offer("a", max_pending=2)], busy=busy, held=held)
    assert submits(found) == {"a": 1}


@pytest.mark.parametrize(("waited", "asked"), [(3599.0, {}), (3600.0, {"a": 1})])
def test_jit_waits_until_the_oldest_job_has_waited(waited: float, asked: dict[str, int]) -> None:
    offers = [offer("a", strategy=Strategy.JIT_THRESHOLD, jit_threshold=3600.0)]
    assert submits(planned([demand(oldest=waited)], offers)) == asked


def test_jit_waits_like_reactive_while_a_worker_is_there() -> None:
    offers = [offer("a", strategy=Strategy.JIT_THRESHOLD, jit_threshold=1.0)]
    busy = [seat("w1", cluster="a")]
    assert submits(planned([demand(oldest=9.0)], offers, busy=busy)) == {}


# -- what ends soon


def test_an_idle_worker_at_its_end_is_no_capacity() -> None:
    found = planned({ANY: 1}, [offer("a")], idle=[seat("w1", cluster="a", ends=299.0)])
    assert submits(found) == {"a": 1}
    found = planned({ANY: 1}, [offer("a")], idle=[seat("w1", cluster="a", ends=301.0)])
    assert submits(found) == {}


def test_the_end_of_a_short_allocation_is_a_quarter_of_it() -> None:
    offers = [offer("a", wall_seconds=120.0)]
    for ends, asked in ((31.0, {}), (29.0, {"a": 1})):
        idle = [seat("w1", cluster="a", ends=ends)]
        assert submits(planned({ANY: 1}, offers, idle=idle)) == asked


def test_allocations_asked_for_together_do_not_end_together() -> None:
    offers = [offer("a", limit=8, wall_seconds=10_000.0, wall_spread=0.1)]
    walls = [c.wall_seconds for c in planned({ANY: 8}, offers).commands if isinstance(c, Submit)]
    known = sorted(wall for wall in walls if wall is not None)
    assert len(known) == 8
    assert known[-1] == 10_000.0, "who asks for one gets all of the time"
    assert known[0] >= 9_000.0
    assert min(b - a for a, b in pairwise(known)) >= 1_000 / 8 / 3


# -- fairness


def test_a_second_class_does_not_starve_behind_the_first() -> None:
    other = Requirements(clusters=("b",))
    found = planned({ANY: 5, other: 1}, [offer("a", limit=2), offer("b", limit=6)])
    assert submits(found) == {"a": 2, "b": 4}


def test_who_has_nothing_comes_before_who_has_something_and_waits_longer() -> None:
    first, second = Requirements(worker_image="x"), Requirements(worker_image="y")
    offers = [offer("a", image="x", limit=5), offer("a", image="y", limit=5)]
    held = [allocation(f"x{n}", "a", ACTIVE, image="x") for n in range(4)]
    wanted = [demand(first, 100, oldest=9_000.0, running=4), demand(second, 1, oldest=1.0)]
    found = planned(wanted, offers, held=held)
    assert [each.image for each in found.commands if isinstance(each, Submit)] == ["y"]


def test_room_is_shared_in_equal_parts() -> None:
    images = ("x", "y", "z")
    offers = [offer("a", image=image, limit=9) for image in images]
    wanted = [demand(Requirements(worker_image=image), 50) for image in images]
    found = planned(wanted, offers)
    asked = [each.image for each in found.commands if isinstance(each, Submit)]
    assert {image: asked.count(image) for image in images} == dict.fromkeys(images, 3)


def test_at_equal_share_the_longest_wait_decides_and_priority_above_it() -> None:
    offers = [offer("a", image=image, limit=1) for image in ("x", "y")]
    old = demand(Requirements(worker_image="x"), oldest=99.0)
    for young, first in ((0, "x"), (5, "y")):
        wanted = [old, demand(Requirements(worker_image="y"), oldest=1.0, priority=young)]
        found = planned(wanted, offers)
        assert [each.image for each in found.commands if isinstance(each, Submit)] == [first]


# -- HPC, Salad, this machine


def test_hpc_is_asked_before_salad_before_this_machine() -> None:
    offers = [offer("here", LOCAL), offer("cloud", SALAD, limit=1), offer("hpc", limit=1)]
    found = planned([demand(waiting=4, overdue=4)], offers)
    assert submits(found) == {"hpc": 1, "cloud": 1, "here": 2}


def test_salad_is_left_out_while_a_cluster_has_time() -> None:
    offers = [offer("cloud", SALAD), offer("hpc", limit=1)]
    assert submits(planned([demand(waiting=4, overdue=2)], offers)) == {"hpc": 1, "cloud": 2}
    assert submits(planned([demand(waiting=4)], offers)) == {"hpc": 1}


def test_salad_gets_at_once_what_no_cluster_could_ever_take() -> None:
    offers = [offer("cloud", SALAD, gpus=(GPU,)), offer("hpc")]
    assert submits(planned({ONE_GPU: 2}, offers)) == {"cloud": 2}


def test_salad_is_asked_beside_a_cluster_that_lets_wait() -> None:
    offers = [offer("cloud", SALAD), offer("hpc")]
    late = allocation("x", "hpc", age=601.0)
    found = planned([demand(overdue=1)], offers, held=[late])
    assert (submits(found), withdrawn(found)) == ({"cloud": 1}, [])
    both = [late, allocation("y", "cloud")]
    found = planned([demand(overdue=1)], offers, held=both)
    assert found.commands == (), "each keeps its place until one of them works"


def test_what_comes_second_is_taken_back() -> None:
    offers = [offer("cloud", SALAD), offer("hpc")]
    late = allocation("x", "hpc", age=601.0)
    working = allocation("y", "cloud", ACTIVE)
    assert withdrawn(planned([], offers, held=[late, working])) == ["x"]


def test_a_start_that_is_expected_late_is_not_waited_for() -> None:
    offers = [offer("cloud", SALAD), offer("hpc")]
    held = [allocation("x", "hpc", age=10.0)]
    for start, asked in ((NOW + 580.0, {}), (NOW + 7200.0, {"cloud": 1})):
        expected = {held[0].id: UnixTime(start)}
        assert submits(planned({ANY: 1}, offers, held=held, expected=expected)) == asked


# -- what is taken back


def test_surplus_on_its_way_is_withdrawn_the_youngest_first() -> None:
    coming = [allocation("old", "a", age=700.0), allocation("young", "a", age=1.0)]
    assert withdrawn(planned({ANY: 1}, [offer("a")], held=coming)) == ["young"]
    assert withdrawn(planned({}, [offer("a")], held=coming)) == ["old", "young"]


def test_what_starts_is_kept_before_what_waits() -> None:
    coming = [allocation("old", "a", age=9.0), allocation("starts", "a", started_at=NOW)]
    assert withdrawn(planned({ANY: 1}, [offer("a")], held=coming)) == ["old"]


def test_what_became_a_worker_is_never_withdrawn() -> None:
    assert planned({}, [offer("a")], held=[allocation("x", "a", ACTIVE)]).commands == ()


def test_an_idle_worker_that_costs_may_leave_and_a_busy_one_may_not() -> None:
    cloud = offer("cloud", SALAD, outlives_worker=True, slots=2)
    one, other = seat("w1", cluster="cloud"), seat("w2", cluster="cloud")
    assert retired(planned({}, [cloud], idle=[one], busy=[other])) == ["w1"]
    half = [one, seat("w1", cluster="cloud")]
    assert retired(planned({}, [cloud], idle=half[:1], busy=half[1:])) == []
    assert retired(planned({ANY: 1}, [cloud], idle=[one])) == []
    assert retired(planned({}, [offer("a")], idle=[seat("w1", cluster="a")])) == []


def test_a_place_that_outlived_its_worker_is_used_again_or_taken_back() -> None:
    cloud = offer("cloud", SALAD, outlives_worker=True)
    held = [allocation("x", "cloud", ACTIVE)]
    assert planned({ANY: 1}, [cloud], held=held).commands == ()
    assert withdrawn(planned({}, [cloud], held=held)) == ["x"]
    manned = planned({}, [cloud], held=held, manned=[held[0].id])
    assert withdrawn(manned) == []


# -- what it looks like


def test_an_outlook_tells_what_each_job_of_a_class_gets() -> None:
    held = [allocation("x", "a")]
    expected = {held[0].id: UnixTime(NOW + 60.0)}
    offers = [offer("a", limit=2), offer("b", gpus=(GPU,), closed="sbatch: invalid account")]
    found = planned({ANY: 9}, offers, idle=[seat("w1")], held=held, expected=expected)
    outlook = found.outlooks[ANY]
    assert outlook.idle == 1
    assert outlook.coming == (Coming(cluster="a", jobs=1, expected=UnixTime(NOW + 60.0)),)
    assert outlook.asked == (("a", 1),)
    assert outlook.obstacles == (
        "a: its limit of 2 allocations is reached (max_allocations)",
        "b: sbatch: invalid account",
    )


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"disabled": "disabled by ada"}, "disabled by ada"),
        ({"limit": 0}, "its limit of 0 allocations is reached (max_allocations)"),
        ({"max_pending": 0}, "0 allocations wait in its queue already (max_pending_jobs)"),
        (
            {"strategy": Strategy.JIT_THRESHOLD, "jit_threshold": 5400.0},
            "it is asked once a job has waited 1.5 h (strategy jit_threshold)",
        ),
        ({"gpus": ()}, "it has 0 of the 1 GPUs asked for"),
    ],
)
def test_each_obstacle_has_its_words(said: dict[str, Any], reason: str) -> None:
    known: dict[str, Any] = {"gpus": (GPU,), **said}
    offers = [offer("a", **known)]
    assert planned({ONE_GPU: 1}, offers).outlooks[ONE_GPU].obstacles == (f"a: {reason}",)


@pytest.mark.parametrize(
    ("needed", "slots", "reason"),
    [
        (2, 1, "it has 1 of the 2 GPUs asked for"),
        (3, 2, "it has 2 of the 3 GPUs asked for"),
        (2, 2, None),
    ],
)
def test_an_allocation_with_too_few_gpus_says_how_many_it_has_in_all(
    needed: int, slots: int, reason: str | None
) -> None:
    need = Requirements(gpus=needed)
    found = planned({need: 1}, [offer("a", gpus=(GPU,), slots=slots)])
    assert submits(found) == ({} if reason else {"a": 1})
    assert found.outlooks[need].obstacles == ((f"a: {reason}",) if reason else ())


def test_neither_the_order_of_offers_nor_that_of_classes_matters() -> None:
    offers = [offer("b"), offer("a"), offer("c", limit=1)]
    wanted = [demand(ANY, 3), demand(Requirements(clusters=("b",)), 2)]
    assert planned(wanted, offers) == planned(wanted[::-1], offers[::-1])
