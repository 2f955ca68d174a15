"""Each of Slurm's states, and each way to end, as it was seen on a real cluster."""

import pytest

from relaymd.actors.providers import slurm_ends, slurm_text
from relaymd.core.allocation import Sighting, Whereabouts
from relaymd.core.outcome import Outcome


def of_queue(state: str, reason: str = "None", start: str = "100", end: str = "200") -> Sighting:
    (row,) = slurm_text.queued(f"7|{state}|{start}|{end}|n1|{reason}|a-1\n")
    return slurm_ends.from_queue(row)


def of_accounting(*lines: str) -> Sighting:
    (job,) = slurm_text.accounted("\n".join(lines))
    return slurm_ends.from_accounting(job)


def job(state: str, code: str = "0:0", derived: str = "0:0") -> str:
    return f"7|{state}|{code}|{derived}|100|200|a-1"


def step(state: str, code: str = "0:0") -> str:
    return f"7.0|{state}|{code}||100|200|md"


@pytest.mark.parametrize("state", sorted(slurm_ends.WAITS))
def test_what_waits_is_pending(state: str) -> None:
    seen = of_queue(state, "Priority")

    assert (seen.where, seen.external) == (Whereabouts.PENDING, "7")
    assert (seen.estimated_start, seen.started_at, seen.deadline) == (100.0, None, None)


@pytest.mark.parametrize("state", sorted(slurm_ends.RUNS))
def test_what_runs_has_a_deadline(state: str) -> None:
    seen = of_queue(state)

    assert (seen.where, seen.started_at, seen.deadline) == (Whereabouts.RUNNING, 100.0, 200.0)


@pytest.mark.parametrize("state", sorted(slurm_ends.ENDS))
def test_what_has_ended_is_gone_and_says_how(state: str) -> None:
    seen = of_queue(state)

    assert seen.where is Whereabouts.GONE
    assert seen.outcome in (Outcome.INTERRUPTED, Outcome.NODE_UNFIT)
    assert seen.reason.startswith(f"{state}: ")
    assert of_accounting(job(state)).outcome is seen.outcome


def test_why_it_had_waited_is_not_how_it_ended() -> None:
    assert of_queue("CANCELLED", "JobHeldUser").reason == "CANCELLED: it was cancelled"
    assert (
        of_queue("FAILED", "BadConstraints").reason == "FAILED: its script failed (BadConstraints)"
    )


def test_a_state_that_nobody_knows_is_unknown() -> None:
    assert of_queue("QUANTUM").where is Whereabouts.UNKNOWN


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "QUANTUM"])
def test_what_accounting_calls_alive_is_unknown(state: str) -> None:
    assert of_accounting(job(state)).where is Whereabouts.UNKNOWN


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("TIMEOUT", Outcome.INTERRUPTED),
        ("PREEMPTED", Outcome.INTERRUPTED),
        ("NODE_FAIL", Outcome.INTERRUPTED),
        ("BOOT_FAIL", Outcome.INTERRUPTED),
        ("OUT_OF_MEMORY", Outcome.INTERRUPTED),
        ("DEADLINE", Outcome.INTERRUPTED),
        ("CANCELLED by 1000", Outcome.INTERRUPTED),
        ("FAILED", Outcome.NODE_UNFIT),
    ],
)
def test_only_a_script_that_failed_speaks_against_the_node(state: str, outcome: Outcome) -> None:
    assert of_accounting(job(state, "1:0")).outcome is outcome


def test_completed_with_a_failed_step_is_what_the_step_says() -> None:
    seen = of_accounting(job("COMPLETED", "0:0", "130:0"), step("FAILED", "130:0"))

    assert (seen.outcome, seen.reason) == (
        Outcome.INTERRUPTED,
        "FAILED: its script was ended by signal 2",
    )


@pytest.mark.parametrize("state", ["OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED"])
def test_a_step_tells_more_than_a_jobs_failed(state: str) -> None:
    seen = of_accounting(job("FAILED", "1:0"), step("COMPLETED"), step(state, "0:9"))

    assert (seen.outcome, seen.reason.split(":")[0]) == (Outcome.INTERRUPTED, state)


def test_a_steps_cancelled_does_not_hide_a_time_limit() -> None:
    assert of_accounting(job("TIMEOUT"), step("CANCELLED", "0:15")).reason.startswith("TIMEOUT")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("78:0", "its configuration is wrong (exit code 78)"),
        ("77:0", "its credentials cannot be read"),
        ("74:0", "its container image could not be fetched"),
        ("3:0", "its script failed with exit code 3"),
        ("0:9", "its script was ended by signal 9"),
    ],
)
def test_an_exit_code_is_told_in_words(code: str, words: str) -> None:
    assert words in of_accounting(job("FAILED", code)).reason


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Resources", "it is next"),
        ("QOSMaxJobsPerUserLimit", "what this account may use at a time is in use"),
        ("AssocGrpGRES", "what this account may use at a time is in use"),
        ("JobHeldUser", "scontrol release"),
        ("ReqNodeNotAvail, UnavailableNodes:n1", "nodes that it needs are down"),
        ("Whatever", "Whatever"),
    ],
)
def test_why_it_waits_is_told_with_slurms_own_word(reason: str, words: str) -> None:
    said = of_queue("PENDING", reason).reason
    assert said.startswith(reason)
    assert words in said
