"""The transition table, exhaustively: every state, every event, every lease."""

from itertools import product
from typing import get_args

import msgspec
import pytest

from relaymd.core import events as e
from relaymd.core.checkpoint import KEPT
from relaymd.core.events import JobEvent
from relaymd.core.ids import Epoch, Generation, UnixTime
from relaymd.core.job import (
    TRANSITIONS,
    IllegalTransitionError,
    Job,
    JobState,
    StaleLeaseError,
    apply,
)
from relaymd.core.outcome import Outcome
from tests.core.jobs import (
    END,
    EVENTS,
    LEASE_EVENTS,
    LEASED,
    NOW,
    checkpoint,
    event_of,
    job_in,
    lease,
)

PAIRS = [*product(JobState, EVENTS)]
LEGAL = [pair for pair in PAIRS if pair in TRANSITIONS]
ILLEGAL = [pair for pair in PAIRS if pair not in TRANSITIONS]


def named(value: object) -> str:
    return value.__name__ if isinstance(value, type) else str(value)


def test_these_tests_know_every_event_there_is() -> None:
    everything = {kind for part in get_args(e.JobEvent) for kind in get_args(part) or (part,)}

    assert {*EVENTS} == everything


@pytest.mark.parametrize(("state", "kind"), LEGAL, ids=named)
def test_a_pair_of_the_table_leads_where_the_table_says(
    state: JobState, kind: type[JobEvent]
) -> None:
    before = job_in(state)
    after = apply(before, event_of(kind), at=NOW)

    assert after.state == TRANSITIONS[state, kind]
    assert before == job_in(state), "the job before is unchanged"
    assert (after.lease is not None) == (after.state in LEASED)


@pytest.mark.parametrize(("state", "kind"), ILLEGAL, ids=named)
def test_a_pair_the_table_lacks_is_an_error(state: JobState, kind: type[JobEvent]) -> None:
    with pytest.raises((IllegalTransitionError, StaleLeaseError)):
        apply(job_in(state), event_of(kind), at=NOW)


@pytest.mark.parametrize(
    ("state", "kind"), [pair for pair in ILLEGAL if pair[0] in LEASED], ids=named
)
def test_the_conflict_names_job_state_and_what_was_wanted(
    state: JobState, kind: type[JobEvent]
) -> None:
    with pytest.raises(IllegalTransitionError) as caught:
        apply(job_in(state), event_of(kind), at=NOW)

    error = caught.value
    assert error.job.id == "j-1"
    assert isinstance(error.requested, JobState)
    assert str(error) == f"job j-1 is {state} and cannot become {error.requested}"


@pytest.mark.parametrize(("state", "kind"), [*product(JobState, LEASE_EVENTS)], ids=named)
@pytest.mark.parametrize("epoch", [0, 6, 8])
def test_a_stale_lease_changes_nothing_in_any_state(
    state: JobState, kind: type[JobEvent], epoch: int
) -> None:
    with pytest.raises(StaleLeaseError):
        apply(job_in(state), event_of(kind, Epoch(epoch)), at=NOW)


@pytest.mark.parametrize("state", [s for s in JobState if s not in LEASED])
@pytest.mark.parametrize("kind", LEASE_EVENTS, ids=named)
def test_without_a_lease_every_report_is_a_zombies(state: JobState, kind: type[JobEvent]) -> None:
    with pytest.raises(StaleLeaseError):
        apply(job_in(state), event_of(kind), at=NOW)


# -- nobody is stuck ----------------------------------------------------------------------------


@pytest.mark.parametrize("state", LEASED)
def test_every_lease_that_is_interrupted_leads_back_to_the_queue_or_to_the_end(
    state: JobState,
) -> None:
    after = apply(job_in(state), event_of(e.Interrupted), at=NOW)

    assert after.state is (JobState.CANCELLED if state is JobState.CANCELLING else JobState.QUEUED)
    assert after.lease is None


@pytest.mark.parametrize("state", [JobState.QUEUED, *LEASED[:-1]])
def test_an_operator_can_cancel_whatever_has_not_ended(state: JobState) -> None:
    after = apply(job_in(state), event_of(e.CancelRequested), at=NOW)

    assert after.state in (JobState.CANCELLING, JobState.CANCELLED)


def reachable(state: JobState) -> set[JobState]:
    found: set[JobState] = set()
    waiting = [state]
    while waiting:
        here = waiting.pop()
        following = {to for (origin, _), to in TRANSITIONS.items() if origin is here}
        waiting += following - found
        found |= following
    return found


@pytest.mark.parametrize("state", [s for s in JobState if not s.is_final])
def test_every_state_has_a_way_to_an_end(state: JobState) -> None:
    assert JobState.CANCELLED in reachable(state)
    if state is not JobState.CANCELLING:
        assert {JobState.COMPLETED, JobState.FAILED} <= reachable(state)


def test_every_state_is_reached_from_the_queue() -> None:
    assert reachable(JobState.QUEUED) == {*JobState}


def test_completed_is_the_end() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] is JobState.COMPLETED]


def test_an_engine_that_exits_0_during_a_drain_has_completed() -> None:
    assert apply(job_in(JobState.DRAINING), event_of(e.Completed), at=NOW).state is (
        JobState.COMPLETED
    )


@pytest.mark.parametrize(
    "kind", [e.HandedOff, e.Interrupted, e.Completed, e.Failed, e.Cancelled], ids=named
)
def test_however_the_lease_of_a_cancelled_job_ends_the_job_is_cancelled(
    kind: type[JobEvent],
) -> None:
    after = apply(job_in(JobState.CANCELLING), event_of(kind), at=NOW)

    assert after.state is JobState.CANCELLED
    assert after.lease is None
    assert after.end is not None
    assert after.end.outcome is Outcome.CANCELLED


# -- what an event changes ----------------------------------------------------------------------


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_a_requeue_keeps_the_id_and_the_checkpoint(state: JobState) -> None:
    before = job_in(state)
    after = apply(before, event_of(e.Requeued), at=NOW)

    assert after.id == before.id
    assert after.checkpoints == before.checkpoints
    assert after.epoch == before.epoch
    assert after.state is JobState.QUEUED
    assert after.queued_at == NOW
    assert after.charges == {}
    assert after.end is None


@pytest.mark.parametrize("epoch", [1, 6, 7])
def test_an_epoch_is_never_used_again(epoch: int) -> None:
    with pytest.raises(StaleLeaseError):
        apply(job_in(JobState.QUEUED), e.Assigned(lease=lease(epoch)), at=NOW)


def test_an_assignment_ends_the_backoff() -> None:
    waiting = msgspec.structs.replace(job_in(JobState.QUEUED), not_before=UnixTime(2000.0))
    after = apply(waiting, event_of(e.Assigned), at=NOW)

    assert after.not_before == 0.0
    assert after.lease is not None
    assert after.lease.epoch == after.epoch == 8


@pytest.mark.parametrize("generation", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.DRAINING, JobState.CANCELLING])
def test_a_generation_is_the_next_one_or_none(state: JobState, generation: int) -> None:
    event = e.Checkpointed(epoch=Epoch(7), checkpoint=checkpoint(generation))

    with pytest.raises(IllegalTransitionError):
        apply(job_in(state), event, at=NOW)


def test_a_checkpoint_must_be_of_the_lease_that_reports_it() -> None:
    event = e.Checkpointed(epoch=Epoch(7), checkpoint=checkpoint(3, epoch=6))

    with pytest.raises(StaleLeaseError):
        apply(job_in(JobState.RUNNING), event, at=NOW)


def test_a_checkpoint_is_progress_and_clears_the_charges() -> None:
    after = apply(job_in(JobState.RUNNING), event_of(e.Checkpointed), at=NOW)

    assert after.generation == 3
    assert after.charges == {}


def test_only_the_newest_generations_are_remembered() -> None:
    job = job_in(JobState.RUNNING)
    for generation in range(3, 12):
        event = e.Checkpointed(epoch=Epoch(7), checkpoint=checkpoint(generation))
        job = apply(job, event, at=NOW)

    assert [c.generation for c in job.checkpoints] == [*range(12 - KEPT, 12)]


@pytest.mark.parametrize("kind", [e.CheckpointMissed, e.Started], ids=named)
def test_a_report_in_passing_moves_nothing_but_the_state(kind: type[JobEvent]) -> None:
    state = JobState.ASSIGNED if kind is e.Started else JobState.RUNNING
    before = job_in(state)
    after = apply(before, event_of(kind), at=NOW)

    assert msgspec.structs.replace(after, state=before.state) == before


def test_a_launch_is_remembered_with_its_lease() -> None:
    before = job_in(JobState.RUNNING)
    after = apply(before, event_of(e.Launched), at=NOW)

    assert before.lease is not None
    assert after.lease == msgspec.structs.replace(before.lease, launched=True)
    assert msgspec.structs.replace(after, lease=before.lease) == before


def test_an_interruption_is_charged_and_may_wait() -> None:
    after = apply(job_in(JobState.RUNNING), event_of(e.Interrupted), at=NOW)

    assert after.charges == {Outcome.INTERRUPTED: 1, Outcome.ENGINE_FAILED: 1}
    assert after.not_before == 1100.0
    assert after.queued_at == NOW
    assert after.end == END


def test_an_interruption_without_charge_charges_nothing() -> None:
    event = e.Interrupted(epoch=Epoch(7), end=END, charged=False)

    assert apply(job_in(JobState.RUNNING), event, at=NOW).charges == {Outcome.INTERRUPTED: 1}


def test_the_generation_of_a_job_without_checkpoints_is_0() -> None:
    assert msgspec.structs.replace(job_in(JobState.QUEUED), checkpoints=()).generation == 0


@pytest.mark.parametrize("state", JobState)
def test_a_job_survives_the_ledger_unchanged(state: JobState) -> None:
    job = job_in(state)

    assert msgspec.json.decode(msgspec.json.encode(job), type=Job) == job


@pytest.mark.parametrize("kind", EVENTS, ids=named)
def test_an_event_survives_the_ledger_unchanged(kind: type[JobEvent]) -> None:
    event = event_of(kind)

    assert msgspec.json.decode(msgspec.json.encode(event), type=e.JobEvent) == event
    assert kind.__struct_config__.tag, "it says what it is"


def test_the_first_generation_is_1() -> None:
    fresh = msgspec.structs.replace(job_in(JobState.RUNNING), checkpoints=())
    event = e.Checkpointed(epoch=Epoch(7), checkpoint=checkpoint(1))

    assert apply(fresh, event, at=NOW).generation == Generation(1)
