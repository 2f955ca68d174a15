"""A pass costs by classes and clusters, not by jobs. The figures are in benchmarks/planning.py."""

from benchmarks.planning import NOW, lines, offers, one_pass, supply
from relaymd.core.demand import demands
from relaymd.core.likeness import Likeness


def best(jobs: int, classes: int = 200) -> float:
    """Seconds of planning and counting, of the best of three passes."""
    waiting, there = lines(jobs, classes), supply()
    passes = [one_pass(waiting, there) for _ in range(3)]
    return min(planning + counting for _, planning, counting in passes)


def test_ten_thousand_waiting_jobs_over_six_clusters_are_planned_at_once() -> None:
    assert best(10_000) < 1.0, "it takes 0.01 s; the rest is for a busy machine"


def test_ten_times_the_jobs_do_not_take_ten_times_as_long() -> None:
    assert best(10_000) < 5 * best(1_000)


def test_ten_thousand_classes_are_planned_as_the_few_that_can_be_told_apart() -> None:
    choices = offers()
    likeness = Likeness([*supply().seats, *(offer.template for offer in choices)])
    waiting = lines(10_000, 10_000)
    wanted = demands(waiting, (), {}, likeness, now=NOW, overflow_after=600.0)
    assert len(waiting) == sum(len(each.classes) for each in wanted) == 10_000
    assert len(wanted) <= 20
    assert best(10_000, classes=10_000) < 1.0, "it takes 0.03 s; the rest is for a busy machine"
