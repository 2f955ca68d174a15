"""What SLURM's commands printed on a real cluster (22.05), and what nobody should ever print."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaymd.actors.providers import slurm_ends, slurm_text
from relaymd.actors.providers.slurm_text import Accounted, Part, Queued
from relaymd.core.ids import UnixTime

SQUEUE = """\
14|PENDING|1795256690|1795260290||Resources|a-x4
13|PENDING|N/A|N/A||JobHeldUser|a-x3
5|PENDING|N/A|N/A||Nodes required for job are DOWN, DRAINED or reserved for jobs in higher \
priority partitions|a-x6
12|RUNNING|1795253090|1795256690|n1|None|a-x2
3|TIMEOUT|1795253137|1795253226|n1|TimeLimit|a-x1
10|PENDING|1795253284|1795256884||BeginTime|a-x5
"""

SACCT = """\
1|CANCELLED by 0|0:0|0:0|1795253137|1795253157|a-q1
1.batch|CANCELLED|0:15||1795253137|1795253157|batch
3|TIMEOUT|0:0|0:0|1795253137|1795253226|a-to
3.batch|CANCELLED|0:15||1795253137|1795253226|batch
3.0|CANCELLED|0:15||1795253137|1795253226|sleep
4|CANCELLED by 0|0:0|0:0|None|1795253157|a-c
9|RUNNING|0:0|0:0|1795253161|Unknown|a-r
"""


def test_lines_of_squeue() -> None:
    first, held, down, runs, ended, _ = slurm_text.queued(SQUEUE)

    assert first == Queued(
        job="14",
        name="a-x4",
        state="PENDING",
        start=UnixTime(1795256690.0),
        end=UnixTime(1795260290.0),
        nodes="",
        reason="Resources",
    )
    assert (held.start, held.reason) == (None, "JobHeldUser")
    assert down.reason.startswith("Nodes required")
    assert (runs.nodes, runs.reason, runs.end) == ("n1", "", 1795256690.0)
    assert ended.state == "TIMEOUT"


def test_lines_of_sacct_are_gathered_by_job() -> None:
    cancelled, timed_out, never_ran, runs = slurm_text.accounted(SACCT)

    assert timed_out == Accounted(
        job="3",
        name="a-to",
        own=Part(state="TIMEOUT", exit_code=(0, 0)),
        derived_exit_code=(0, 0),
        start=UnixTime(1795253137.0),
        end=UnixTime(1795253226.0),
        steps=(Part(state="CANCELLED", exit_code=(0, 15)),) * 2,
    )
    assert cancelled.own.state == "CANCELLED"
    assert (never_ran.start, runs.end) == (None, None)


@pytest.mark.parametrize(
    ("printed", "job"),
    [
        ("4711\n", "4711"),
        ("4711;cluster-b\n", "4711"),
        ("Welcome to node 12!\nQuota: 80 %\n4711\n", "4711"),
        ("", None),
        ("Submitted batch job\n", None),
        ("47 11\n", None),
        ("٤٧\n", None),
        ("1" * 21, None),
    ],
)
def test_the_id_that_sbatch_prints(printed: str, job: str | None) -> None:
    assert slurm_text.accepted(printed) == job


def test_a_greeting_before_the_lines_is_passed_over() -> None:
    text = "** maintenance on Monday | be warned **\na|b|c|d|e|f|g\n" + SQUEUE

    assert slurm_text.queued(text) == slurm_text.queued(SQUEUE)


def test_a_name_with_separators_is_no_other_job() -> None:
    text = "7|RUNNING|1|2|n1|None|a-1|RUNNING|1|2|n1|None|a-2\n"

    (row,) = slurm_text.queued(text)
    assert row.name == "a-1|RUNNING|1|2|n1|None|a-2"


def test_what_is_no_number_is_no_job_and_a_long_reason_is_cut() -> None:
    lines = [f"{job}|PENDING|1|2||{'x' * 9999}|a-1\n" for job in ("7", "7_2", "²", "7" * 5000)]

    rows = slurm_text.queued("".join(lines))
    assert [(row.job, len(row.reason)) for row in rows] == [("7", 500), ("7_2", 500)]


def test_what_is_no_word_is_no_state() -> None:
    (row,) = slurm_text.queued("7|\u202e<b>|1|2|n1|None|a-1\n")

    assert row.state == ""
    assert slurm_ends.from_queue(row).reason == "SLURM names no state of it"


def test_dates_where_seconds_were_asked_for_are_no_times() -> None:
    (row,) = slurm_text.queued("7|RUNNING|2026-11-21T09:22:57|2026-11-21T10:22:57|n1|None|a-1\n")

    assert (row.start, row.end) == (None, None)


def test_errors_are_told_without_the_commands_name() -> None:
    text = "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job failed\n\n"

    assert slurm_text.errors(text) == ["invalid partition specified: nope", "Batch job failed"]


lines = st.lists(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["7", "7.batch", "RUNNING", "FAILED", "0:0", "9:", ":", "-1", "99999999999"]),
    max_size=9,
).map("|".join)


@given(st.lists(lines, max_size=5).map("\n".join))
def test_no_text_makes_it_fail(text: str) -> None:
    for row in slurm_text.queued(text):
        slurm_ends.from_queue(row)
    for job in slurm_text.accounted(text):
        slurm_ends.from_accounting(job)
    slurm_text.accepted(text)
    slurm_text.errors(text)
