"""What a failed `sbatch` means. The texts are those of a real Slurm 22.05."""

import pytest

from relaymd.actors.providers import slurm_refusals
from relaymd.actors.providers.provider import ProviderError, ProviderRefusedError
from relaymd.actors.providers.shell import Finished, UnansweredError

FAILED = "sbatch: error: Batch job submission failed: "


def judged(stderr: str, code: int = 1) -> ProviderError:
    return slurm_refusals.judged(Finished(code=code, stdout="", stderr=stderr))


@pytest.mark.parametrize(
    ("stderr", "remedy"),
    [
        (
            "sbatch: error: invalid partition specified: nope\n"
            f"{FAILED}Invalid partition name specified\n",
            "`partition`",
        ),
        (
            f"{FAILED}Invalid account or account/partition combination specified\n",
            "`account`",
        ),
        (f"{FAILED}Invalid qos specification\n", "`qos`"),
        (
            f"{FAILED}Requested time limit is invalid (missing or exceeds some limit)\n",
            "`wall_time`",
        ),
        (f"{FAILED}Requested node configuration is not available\n", "`gres`"),
        (
            "sbatch: error: Memory specification can not be satisfied\n"
            f"{FAILED}Requested node configuration is not available\n",
            "`memory`",
        ),
        (f"{FAILED}Invalid feature specification\n", "`constraint`"),
        (f"{FAILED}Invalid node name specified\n", "`exclude`"),
        ("sbatch: error: Invalid --time specification\n", "`wall_time`"),
        ("sbatch: unrecognized option '--nonsense'\n", "`sbatch_lines`"),
    ],
)
def test_a_wrong_configuration_is_refused_with_the_key_to_look_at(stderr: str, remedy: str) -> None:
    error = judged(stderr)

    assert isinstance(error, ProviderRefusedError)
    assert remedy in str(error)
    assert error.retry_after == slurm_refusals.CONFIGURATION_REST
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("QOSMaxSubmitJobPerUserLimit", "as many of our jobs are in its queue as may be"),
        ("AssocMaxSubmitJobLimit", "as many of our jobs are in its queue as may be"),
        ("AssocGrpSubmitJobsLimit", "as many jobs of the group are in its queue as may be"),
        ("QOSMaxWallDurationPerJobLimit", "wall_time is longer than the limit"),
        ("QOSMaxGRESPerJob", ""),
        ("AssocMaxJobsLimit", "as many of our jobs run as may run"),
    ],
)
def test_a_full_quota_is_a_reason_to_wait_a_while(limit: str, words: str) -> None:
    policy = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
    error = judged(f"sbatch: error: {limit}\n{FAILED}{policy}\n")

    assert isinstance(error, ProviderRefusedError)
    assert error.retry_after == slurm_refusals.QUOTA_REST
    assert "a quota is full" in str(error)
    assert words in str(error)


@pytest.mark.parametrize(
    "stderr",
    [
        f"{FAILED}Socket timed out on send/recv operation\n",
        f"{FAILED}Unable to contact slurm controller (connect failure)\n",
        f"{FAILED}Zero Bytes were transmitted or received\n",
        "ssh: connect to host campus port 22: Connection refused\n",
        "",
    ],
)
def test_where_nobody_answered_the_job_may_be_there(stderr: str) -> None:
    error = judged(stderr)

    assert isinstance(error, UnansweredError)
    assert not isinstance(error, ProviderRefusedError)


@pytest.mark.parametrize("code", [124, 137])
def test_a_submit_that_was_cut_off_may_be_there(code: int) -> None:
    waits = "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n"

    assert isinstance(judged(waits, code), UnansweredError)


def test_a_controller_that_is_busy_is_asked_again_soon() -> None:
    error = judged(f"{FAILED}Resource temporarily unavailable\n")

    assert isinstance(error, ProviderRefusedError)
    assert error.retry_after == slurm_refusals.BUSY_REST
