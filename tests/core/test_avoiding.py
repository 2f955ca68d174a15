"""A job goes where it did not end badly, while it can; and never waits for ever for that."""

from relaymd.core.avoiding import PATIENCE, Avoided, avoided, waits, why_it_waits
from relaymd.core.ids import JobId, UnixTime, WorkerId
from relaymd.core.outcome import Outcome
from relaymd.core.quarantine import REMEMBERED, Node, Strike
from relaymd.core.resources import Gpu, Requirements, Seat
from relaymd.core.scheduling import assign
from tests.core.test_scheduling import lines, waiting

ANY, ONE_GPU = Requirements(), Requirements(gpus=1)
GPU = Gpu(model="NVIDIA A100", vram_gb=40.0)
A, B = JobId("a"), JobId("b")
HERE = frozenset({"c/here"})


def seat(worker: str, node: str, *gpus: Gpu, slot: int = 0) -> Seat:
    return Seat(worker=WorkerId(worker), node=node, gpus=gpus, slot=slot)


def struck(id: str, *strikes: tuple[str, float], by: Outcome = Outcome.NODE_UNFIT) -> Node:
    return Node(
        id=id,
        strikes=tuple(
            Strike(at=UnixTime(at), job=JobId(job), outcome=by, reason="no CUDA")
            for job, at in strikes
        ),
    )


def failed(*at: float) -> Node:
    return struck("c/here", *(("a", each) for each in at), by=Outcome.ENGINE_FAILED)


BAD, GOOD = seat("w1", "c/here"), seat("w2", "c/there")
PATIENT = {A: Avoided(nodes=HERE, patience=10.0)}
TIRED = {A: Avoided(nodes=HERE, patience=0.0)}


def given(
    jobs: list[str], idle: list[Seat], seats: list[Seat], avoid: dict[JobId, Avoided]
) -> dict[str, str]:
    waiting_jobs = [waiting(job, at=number) for number, job in enumerate(jobs)]
    return {step.job: step.seat.node for step in assign(lines(waiting_jobs), idle, seats, avoid)}


# -- what is avoided ----------------------------------------------------------------------------


def test_a_job_avoids_every_node_on_which_it_ended_badly_and_no_other_job_does() -> None:
    nodes = [struck("c/here", ("a", 1.0), ("b", 2.0)), struck("c/there", ("a", 5.0))]
    found = avoided(nodes, [A, B], now=UnixTime(5.0))
    assert found[A].nodes == {"c/here", "c/there"}
    assert found[B].nodes == {"c/here"}
    assert avoided(nodes, [B], now=UnixTime(5.0)).keys() == {B}


def test_its_patience_is_counted_from_its_latest_bad_end() -> None:
    nodes = [struck("c/there", ("a", 5.0)), struck("c/here", ("a", 1.0))]
    assert avoided(nodes, [A], now=UnixTime(7.0))[A].patience == PATIENCE - 2.0
    assert avoided(nodes, [A], now=UnixTime(5.0 + PATIENCE))[A].patience == 0.0


def test_what_is_forgotten_is_not_avoided() -> None:
    assert avoided([struck("c/here", ("a", 1.0))], [A], now=UnixTime(1.0 + REMEMBERED)) == {}


def test_an_engine_that_failed_once_is_not_waited_for_and_one_that_failed_twice_is() -> None:
    assert avoided([failed(1.0)], [A], now=UnixTime(2.0))[A] == Avoided(nodes=HERE, patience=0.0)
    assert avoided([failed(1.0, 2.0)], [A], now=UnixTime(2.0))[A].patience == PATIENCE


def test_failures_on_several_nodes_count_together() -> None:
    nodes = [failed(1.0), struck("c/there", ("a", 2.0), by=Outcome.ENGINE_FAILED)]
    assert avoided(nodes, [A], now=UnixTime(2.0))[A].patience == PATIENCE


def test_after_the_clock_was_set_back_nobody_is_patient_for_ever() -> None:
    (found,) = avoided([struck("c/here", ("a", 9e9))], [A], now=UnixTime(1.0)).values()
    assert found == Avoided(nodes=HERE, patience=0.0)


# -- who goes where -----------------------------------------------------------------------------


def test_it_takes_an_idle_seat_elsewhere_though_another_would_be_preferred() -> None:
    assert given(["a"], [BAD, GOOD], [BAD, GOOD], {}) == {"a": "c/here"}
    assert given(["a"], [BAD, GOOD], [BAD, GOOD], TIRED) == {"a": "c/there"}


def test_it_waits_for_a_busy_seat_elsewhere_and_holds_up_nobody() -> None:
    assert given(["a", "b"], [BAD], [BAD, GOOD], PATIENT) == {"b": "c/here"}


def test_when_its_patience_is_over_it_takes_what_there_is() -> None:
    assert given(["a", "b"], [BAD], [BAD, GOOD], TIRED) == {"a": "c/here"}


def test_where_there_is_no_other_node_it_goes_back_at_once() -> None:
    assert given(["a"], [BAD], [BAD], PATIENT) == {"a": "c/here"}
    beside = seat("w3", "c/here", slot=1)
    assert given(["a"], [BAD], [BAD, beside], PATIENT) == {"a": "c/here"}


def test_a_node_that_does_not_fit_is_no_reason_to_wait() -> None:
    bad, bare = seat("w1", "c/here", GPU), seat("w2", "c/there")
    steps = assign(lines([waiting("a", ONE_GPU)]), [bad], [bad, bare], {A: PATIENT[A]})
    assert [step.seat for step in steps] == [bad]


def test_slots_of_another_worker_that_are_enough_together_are_worth_waiting_for() -> None:
    two = Requirements(gpus=2)
    bad = seat("w1", "c/here", GPU, GPU)
    wide = [seat("w2", "c/there", GPU, slot=slot) for slot in range(2)]
    jobs = lines([waiting("a", two)])
    assert assign(jobs, [bad], [bad, *wide], PATIENT) == []
    (step,) = assign(jobs, [bad, *wide], [bad, *wide], PATIENT)
    assert (step.seat.node, step.seat.slots) == ("c/there", (0, 1))


def test_seats_of_one_kind_on_different_nodes_are_told_apart() -> None:
    seats = [seat(f"w{n}", f"c/{n}") for n in range(5)]
    avoid = {A: Avoided(nodes=frozenset(f"c/{n}" for n in range(4)), patience=0.0)}
    assert given(["a"], seats, seats, avoid) == {"a": "c/4"}
    assert given([*"abcdef"], seats, seats, avoid) == {
        **{"a": "c/4", "b": "c/0", "c": "c/1", "d": "c/2", "e": "c/3"}
    }


# -- what a person is told ----------------------------------------------------------------------


def test_a_person_is_told_that_an_idle_seat_is_left_alone_and_for_how_long() -> None:
    patient = PATIENT[A]
    said = why_it_waits(ANY, patient, [BAD, GOOD], [BAD])
    assert said == "it ended badly on c/here; it waits 10 s at most for another node"
    assert why_it_waits(ANY, patient, [BAD, GOOD], []) is None
    assert why_it_waits(ANY, patient, [BAD, GOOD], [BAD, GOOD]) is None
    assert why_it_waits(ANY, patient, [BAD], [BAD]) is None
    assert not waits(ANY, TIRED[A], [BAD, GOOD])
