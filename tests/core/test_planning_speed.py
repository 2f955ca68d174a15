"""A pass costs by classes and clusters, not by jobs. The figures are in benchmarks/planning.py."""

from benchmarks.planning import lines, one_pass, supply


def best(jobs: int) -> float:
    """Seconds of planning and counting, of the best of three passes."""
    waiting, there = lines(jobs, 200), supply()
    passes = [one_pass(waiting, there) for _ in range(3)]
    return min(planning + counting for _, planning, counting in passes)


def test_ten_thousand_waiting_jobs_over_six_clusters_are_planned_at_once() -> None:
    assert best(10_000) < 1.0, "it takes 0.04 s; the rest is for a busy machine"


def test_ten_times_the_jobs_do_not_take_ten_times_as_long() -> None:
    assert best(10_000) < 5 * best(1_000)
