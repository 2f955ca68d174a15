"""Who is dead, who is only silent, and what becomes of the leases."""

from collections.abc import Sequence

import msgspec
import pytest

from relaymd.core.ids import Epoch, JobId, Monotonic, WorkerId
from relaymd.core.job import Job, JobState
from relaymd.core.reaping import (
    Evidence,
    Forget,
    LivenessPolicy,
    Probe,
    ReapCommand,
    Revoke,
    Verdict,
    Vital,
    judge,
    reap,
)
from tests.core.jobs import EPOCH, LEASED, job_in

POLICY = LivenessPolicy(
    heartbeat_every=5.0,
    time_to_live=20.0,
    margin=5.0,
    disconnect_grace=3.0,
    hang_up_grace=1.0,
    confirm_within=10.0,
)
NOW = Monotonic(1000.0)
HOLDER = WorkerId(f"w-{EPOCH}")
"""Holds the lease of every job in these tests."""


def vital(
    silent: float = 0.0,
    disconnected: float | None = None,
    evidence: Evidence = Evidence.UNKNOWN,
    worker: WorkerId = HOLDER,
) -> Vital:
    """Times are seconds ago."""
    return Vital(
        worker=worker,
        heard=Monotonic(NOW - silent),
        disconnected=None if disconnected is None else Monotonic(NOW - disconnected),
        evidence=evidence,
    )


def reaped(
    vitals: Sequence[Vital], jobs: Sequence[Job], unconfirmed: float | None = None
) -> list[ReapCommand]:
    assigned = {} if unconfirmed is None else {(jobs[0].id, EPOCH): Monotonic(NOW - unconfirmed)}
    return reap(vitals, jobs, assigned=assigned, now=NOW, policy=POLICY)


@pytest.mark.parametrize(
    ("silent", "disconnected", "verdict"),
    [
        (0.0, None, Verdict.ALIVE),
        (12.5, None, Verdict.ALIVE),
        (12.6, None, Verdict.SUSPECT),
        (20.1, None, Verdict.SUSPECT),
        (25.0, None, Verdict.SUSPECT),
        (25.1, None, Verdict.DEAD),
        (0.0, 0.0, Verdict.SUSPECT),
        (5.0, 3.0, Verdict.SUSPECT),
        (5.0, 3.1, Verdict.DEAD),
    ],
)
@pytest.mark.parametrize("evidence", [Evidence.UNKNOWN, Evidence.ALIVE])
def test_silence_and_a_closed_connection_are_judged_by_their_length(
    silent: float, disconnected: float | None, verdict: Verdict, evidence: Evidence
) -> None:
    assert judge(vital(silent, disconnected, evidence), now=NOW, policy=POLICY)[0] is verdict


@pytest.mark.parametrize(
    ("hung_up", "missed", "verdict"),
    [
        (True, None, Verdict.SUSPECT),
        (True, 0.9, Verdict.SUSPECT),
        (True, 1.1, Verdict.DEAD),
        (False, 1.1, Verdict.SUSPECT),
    ],
)
def test_who_hung_up_and_was_not_there_for_a_probe_after_its_grace_is_dead(
    hung_up: bool, missed: float | None, verdict: Verdict
) -> None:
    """missed: seconds between the end of the connection and a probe that found nobody."""
    since = Monotonic(NOW - 2.0)
    one = Vital(
        worker=HOLDER,
        heard=since,
        disconnected=since,
        hung_up=hung_up,
        missed=None if missed is None else Monotonic(since + missed),
    )
    assert judge(one, now=NOW, policy=POLICY)[0] is verdict


def test_a_provider_that_knows_the_process_is_gone_is_believed_at_once() -> None:
    verdict, reason = judge(vital(evidence=Evidence.GONE), now=NOW, policy=POLICY)
    assert (verdict, reason) == (Verdict.DEAD, "its process is gone")


def test_unknown_is_not_dead() -> None:
    assert reaped([vital(evidence=Evidence.UNKNOWN)], [job_in(JobState.RUNNING)]) == []


def test_whoever_is_suspect_is_asked_and_keeps_his_lease() -> None:
    assert reaped([vital(silent=15.0)], [job_in(JobState.RUNNING)]) == [Probe(HOLDER)]


@pytest.mark.parametrize("state", LEASED)
def test_every_lease_of_the_dead_ends_before_the_worker_is_forgotten(state: JobState) -> None:
    job = job_in(state)
    revocation, forgetting = reaped([vital(silent=26.0)], [job])
    reason = f"worker {HOLDER} was lost: silent for 26 s"
    assert revocation == Revoke(job.id, EPOCH, reason)
    assert forgetting == Forget(HOLDER, "silent for 26 s")


def test_a_worker_that_died_idle_is_forgotten_and_nothing_else_happens() -> None:
    dead = vital(silent=26.0, worker=WorkerId("idle"))
    assert reaped([vital(), dead], [job_in(JobState.RUNNING)]) == [
        Forget(WorkerId("idle"), "silent for 26 s")
    ]


def test_a_lease_whose_worker_is_not_registered_is_revoked() -> None:
    """Dying between the forgetting of a worker and the end of its leases is repaired."""
    job = job_in(JobState.RUNNING)
    assert reaped([], [job]) == [Revoke(job.id, EPOCH, f"worker {HOLDER} is not registered")]


def test_an_assignment_that_nobody_confirms_is_taken_back_at_no_cost_for_the_job() -> None:
    job = job_in(JobState.ASSIGNED)
    assert reaped([vital()], [job], unconfirmed=10.0) == []
    reason = f"worker {HOLDER} did not confirm its lease"
    assert reaped([vital()], [job], unconfirmed=10.1) == [
        Revoke(job.id, EPOCH, reason, charged=False)
    ]


def test_an_assignment_that_was_never_seen_before_is_new() -> None:
    assert reaped([vital()], [job_in(JobState.ASSIGNED)]) == []


def test_only_an_assignment_waits_for_its_start() -> None:
    assert reaped([vital()], [job_in(JobState.RUNNING)], unconfirmed=100.0) == []


def test_the_leases_of_the_living_are_not_touched_by_anothers_death() -> None:
    mine = job_in(JobState.RUNNING)
    assert mine.lease is not None
    other = msgspec.structs.replace(mine.lease, worker=WorkerId("other"), epoch=Epoch(9))
    theirs = msgspec.structs.replace(mine, id=JobId("j-2"), lease=other, epoch=Epoch(9))
    commands = reaped([vital(), vital(silent=26.0, worker=WorkerId("other"))], [mine, theirs])
    assert [command.job for command in commands if isinstance(command, Revoke)] == ["j-2"]
